import threading
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from native_localstack.mappings.batches import Event
from native_localstack.mappings.delivery import HANDLED, Result, Rules
from native_localstack.mappings.reader import Settings, ShardReader
from tests.events import numbers, record

CRASH = Result(failed_from=0, crashed=True)


class Shard:
    """Records in memory; an iterator is an index."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.closed = False
        self.waits: list[float] = []

    def read(self, iterator: str) -> tuple[list[Event], str | None]:
        found = self.events[int(iterator) :]
        return found, None if self.closed else str(len(self.events))

    def at(self, number: str) -> str:
        return str(next(i for i, event in enumerate(self.events) if event["kinesis"]["sequenceNumber"] == number))

    def wait(self, iterator: str, seconds: float) -> None:
        self.waits.append(seconds)


class Function:
    """A function with a switch; a test moves its clock."""

    def __init__(self, decide: Callable[[list[int]], Result] = lambda _: HANDLED) -> None:
        self.decide = decide
        self.batches: list[list[int]] = []
        self.on = True
        self.time = 0.0

    def invoke(self, batch: list[Event]) -> Result:
        self.batches.append(numbers(batch))
        return self.decide(numbers(batch))

    def give_up(self, batch: list[Event], condition: str, error: dict[str, Any], attempts: int) -> None:
        pass

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        pass

    def stopped(self) -> bool:
        return not self.on


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        self.pool = ThreadPoolExecutor(4)
        self.addCleanup(self.pool.shutdown)

    def test_what_was_read_is_delivered_in_batches(self) -> None:
        function = Function()
        shard = Shard([record(number) for number in range(5)])
        reader = ShardReader(shard, function, Settings(batch_size=2), "0")
        self.assertTrue(reader.round(self.pool))
        self.assertEqual(function.batches, [[0, 1], [2, 3], [4]])
        self.assertEqual((reader.checkpoint(), shard.waits), ("5", []))
        self.assertTrue(reader.round(self.pool))
        self.assertEqual(shard.waits, [1.0])

    def test_what_does_not_pass_the_filter_counts_as_read(self) -> None:
        function = Function()

        def even(events: list[Event]) -> list[Event]:
            return [event for event in events if int(event["kinesis"]["sequenceNumber"]) % 2 == 0]

        reader = ShardReader(Shard([record(n) for n in range(4)]), function, Settings(10), "0", even)
        reader.round(self.pool)
        self.assertEqual((function.batches, reader.checkpoint()), ([[0, 2]], "4"))

    def test_it_looks_again_when_the_window_is_over(self) -> None:
        function = Function()
        shard = Shard([record(0)])
        reader = ShardReader(shard, function, Settings(10, window_seconds=4), "0")
        reader.round(self.pool)
        function.time = 3.5
        reader.round(self.pool)
        self.assertEqual((function.batches, shard.waits), ([], [0.5]))
        self.assertEqual(reader.checkpoint(), "0", "what waits has not been handled")
        function.time = 4.0
        reader.round(self.pool)
        self.assertEqual((function.batches, reader.checkpoint()), ([[0]], "1"))

    def test_the_checkpoint_is_the_first_record_that_no_lane_has_handled(self) -> None:
        def decide(batch: list[int]) -> Result:
            if 7 in batch:
                target.on = False
                return CRASH
            return HANDLED

        target = Function(decide)
        shard = Shard([record(number, key=f"k{number}") for number in range(20)])
        settings = Settings(batch_size=1, lanes=3, rules=Rules(most_retries=5))
        reader = ShardReader(shard, target, settings, "0")
        reader.round(self.pool)
        handled = {number for batch in target.batches for number in batch} - {7}
        left = set(range(20)) - handled
        self.assertIn(7, left)
        self.assertEqual(reader.checkpoint(), str(min(left)))

    def test_lanes_are_worked_on_at_once(self) -> None:
        together = threading.Barrier(2, timeout=10)

        def decide(_: list[int]) -> Result:
            together.wait()
            return HANDLED

        function = Function(decide)
        # These two keys are in different lanes.
        shard = Shard([record(0, key="k0"), record(1, key="k1")])
        ShardReader(shard, function, Settings(10, lanes=2), "0").round(self.pool)
        self.assertEqual(sorted(function.batches), [[0], [1]])

    def test_it_ends_with_a_closed_shard_once_all_is_delivered(self) -> None:
        function = Function()
        shard = Shard([record(0)])
        shard.closed = True
        reader = ShardReader(shard, function, Settings(10, window_seconds=4), "0")
        reader.round(self.pool)
        shard.events = []
        self.assertTrue(reader.round(self.pool), "a record still waits")
        function.time = 4.0
        self.assertFalse(reader.round(self.pool))
        self.assertEqual(function.batches, [[0]])


if __name__ == "__main__":
    unittest.main()
