import threading
import time
import unittest

from native_localstack.timers import Timer


class Timers(unittest.TestCase):
    def setUp(self) -> None:
        self.called = threading.Event()

    def test_what_is_due_is_called_once(self) -> None:
        calls = []
        timer = Timer(10_000, lambda name: (calls.append(name), self.called.set()), ["environment"])
        timer.start()
        Timer.call_due(time.monotonic() + 9_990)
        self.assertFalse(self.called.wait(0.01))
        Timer.call_due(time.monotonic() + 10_001)
        self.assertTrue(self.called.wait(10))
        Timer.call_due(time.monotonic() + 20_000)
        self.assertEqual(calls, ["environment"])

    def test_what_is_cancelled_is_not_called(self) -> None:
        timer = Timer(10_000, self.called.set)
        timer.cancel()
        timer.start()
        timer.cancel()
        timer.cancel()
        Timer.call_due(time.monotonic() + 10_001)
        self.assertFalse(self.called.wait(0.01))


if __name__ == "__main__":
    unittest.main()
