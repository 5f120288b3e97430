import unittest

from native_localstack.mappings.batches import MOST_BYTES
from native_localstack.mappings.window import Window
from tests.events import numbers, record, records


class Windows(unittest.TestCase):
    def test_without_a_window_all_is_due_at_once(self) -> None:
        window = Window(100, 0)
        window.add(records(1, 2), now=10.0)
        self.assertEqual(numbers(window.take(10.0)), [1, 2])
        self.assertIsNone(window.left(10.0))

    def test_it_begins_with_the_first_record_and_ends_in_time(self) -> None:
        window = Window(100, 5)
        window.add(records(1), now=10.0)
        window.add(records(2), now=14.0)
        self.assertEqual(window.left(14.0), 1.0)
        self.assertEqual(window.take(14.9), [])
        self.assertEqual(numbers(window.take(15.0)), [1, 2])

    def test_full_batches_do_not_wait_and_the_rest_begins_anew(self) -> None:
        window = Window(3, 8)
        window.add(records(1, 2, 3, 4, 5, 6, 7), now=0.0)
        self.assertEqual(numbers(window.take(1.0)), [1, 2, 3, 4, 5, 6])
        self.assertEqual(window.left(1.0), 8.0)
        self.assertEqual(numbers(window.take(9.0)), [7])

    def test_a_batch_that_is_filled_later_is_due_then_and_a_window_that_is_over_counts_no_more(self) -> None:
        window = Window(3, 5)
        window.add(records(1, 2), now=0.0)
        self.assertEqual(numbers(window.take(5.0)), [1, 2])
        window.add(records(3, 4), now=6.0)
        self.assertEqual(window.take(6.0), [])
        window.add(records(5), now=7.0)
        self.assertEqual(numbers(window.take(7.0)), [3, 4, 5])

    def test_6_mb_fill_a_batch(self) -> None:
        window = Window(100, 60)
        third = "x" * (MOST_BYTES // 4)
        window.add([record(number, data=third) for number in range(3)], now=0.0)
        self.assertEqual(numbers(window.take(0.0)), [0, 1])
        self.assertEqual(numbers(window.waiting), [2])


if __name__ == "__main__":
    unittest.main()
