import unittest
from collections.abc import Callable
from typing import Any

from native_localstack.mappings.batches import Event
from native_localstack.mappings.delivery import HANDLED, Result, Rules, deliver
from tests.events import numbers, record, records

CRASH = Result(failed_from=0, crashed=True, error={"functionError": "Unhandled"})


class Recorder:
    """A function whose results a test decides, with a clock that only waiting moves."""

    def __init__(self, decide: Callable[[list[int]], Result]) -> None:
        self.decide = decide
        self.batches: list[list[int]] = []
        self.given_up: list[tuple[list[int], str, int]] = []
        self.errors: list[dict[str, Any]] = []
        self.pauses: list[float] = []
        self.time = 100.0
        self.stops_after: int | None = None

    def invoke(self, batch: list[Event]) -> Result:
        self.batches.append(numbers(batch))
        return self.decide(numbers(batch))

    def give_up(self, batch: list[Event], condition: str, error: dict[str, Any], attempts: int) -> None:
        self.given_up.append((numbers(batch), condition, attempts))
        self.errors.append(error)

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds

    def stopped(self) -> bool:
        return self.stops_after is not None and len(self.batches) >= self.stops_after


def poison(*bad: int) -> Callable[[list[int]], Result]:
    """Crashes on each batch that has a bad record."""
    return lambda batch: CRASH if set(bad) & set(batch) else HANDLED


def partial(*bad: int) -> Callable[[list[int]], Result]:
    """Returns the first bad record of a batch."""

    def decide(batch: list[int]) -> Result:
        failed = [index for index, number in enumerate(batch) if number in bad]
        return Result(failed_from=failed[0]) if failed else HANDLED

    return decide


class Delivery(unittest.TestCase):
    def test_batches_go_in_order(self) -> None:
        target = Recorder(poison())
        self.assertIsNone(deliver([records(1, 2), records(3)], Rules(), target))
        self.assertEqual(target.batches, [[1, 2], [3]])
        self.assertEqual(target.pauses, [])

    def test_a_batch_ends_after_its_retries_and_the_next_goes_on(self) -> None:
        target = Recorder(poison(2))
        self.assertIsNone(deliver([records(1, 2), records(3)], Rules(most_retries=2), target))
        self.assertEqual(target.batches, [[1, 2]] * 3 + [[3]])
        self.assertEqual(target.given_up, [([1, 2], "RetryAttemptsExhausted", 3)])
        self.assertEqual(target.errors, [{"functionError": "Unhandled"}])

    def test_without_retries_it_ends_at_once(self) -> None:
        target = Recorder(poison(1))
        deliver([records(1)], Rules(most_retries=0), target)
        self.assertEqual((len(target.batches), len(target.given_up)), (1, 1))

    def test_bisecting_isolates_the_poison_and_uses_up_no_retry(self) -> None:
        target = Recorder(poison(5))
        deliver([records(*range(8))], Rules(most_retries=2, bisects=True), target)
        self.assertEqual(
            target.batches,
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [5], [5], [6, 7]],
        )
        self.assertEqual(target.given_up, [([5], "RetryAttemptsExhausted", 3)])

    def test_two_poisons_end_each_by_itself(self) -> None:
        target = Recorder(poison(0, 3))
        deliver([records(*range(4))], Rules(most_retries=1, bisects=True), target)
        self.assertEqual([given_up for given_up, *_ in target.given_up], [[0], [3]])
        self.assertIn([1], target.batches)

    def test_a_partial_response_brings_back_the_rest_alone(self) -> None:
        target = Recorder(partial(3))
        deliver([records(1, 2, 3, 4)], Rules(most_retries=2), target)
        self.assertEqual(target.batches, [[1, 2, 3, 4], [3, 4], [3, 4], [3, 4]])
        self.assertEqual(target.given_up, [([3, 4], "RetryAttemptsExhausted", 3)])

    def test_progress_begins_the_retries_anew(self) -> None:
        failing = {2: 2, 3: 2}

        def decide(batch: list[int]) -> Result:
            for index, number in enumerate(batch):
                if failing.get(number, 0):
                    failing[number] -= 1
                    return Result(failed_from=index)
            return HANDLED

        target = Recorder(decide)
        deliver([records(1, 2, 3)], Rules(most_retries=2), target)
        self.assertEqual(target.batches, [[1, 2, 3], [2, 3], [2, 3], [3], [3]])
        self.assertEqual(target.given_up, [])

    def test_what_could_not_be_invoked_uses_up_no_retry(self) -> None:
        refusals = 5

        def decide(_: list[int]) -> Result:
            nonlocal refusals
            refusals -= 1
            return Result(failed_from=0, invoked=False) if refusals >= 0 else HANDLED

        target = Recorder(decide)
        deliver([records(1, 2)], Rules(most_retries=0, bisects=True), target)
        self.assertEqual((len(target.batches), target.given_up), (6, []))

    def test_records_over_age_are_given_up_without_a_try(self) -> None:
        target = Recorder(poison())
        batch = [record(1, arrived=30.0), record(2, arrived=39.9), record(3, arrived=40.0), record(4, arrived=90.0)]
        deliver([batch], Rules(most_seconds=60), target)
        self.assertEqual(target.given_up, [([1, 2], "RecordAgeExceeded", 0)])
        self.assertEqual(target.batches, [[3, 4]])

    def test_age_ends_retries(self) -> None:
        target = Recorder(poison(1))
        deliver([[record(1, arrived=100.0)]], Rules(most_seconds=60), target)
        self.assertEqual([condition for _, condition, _ in target.given_up], ["RecordAgeExceeded"])
        self.assertGreater(target.time, 160.0)

    def test_pauses_double_up_to_ten_seconds_and_begin_anew_after_success(self) -> None:
        left = 9

        def decide(batch: list[int]) -> Result:
            nonlocal left
            if batch == [1]:
                left -= 1
                return CRASH if left >= 0 else HANDLED
            return HANDLED if 2 not in batch or len(target.pauses) > 9 else CRASH

        target = Recorder(decide)
        deliver([records(1), records(2)], Rules(), target)
        self.assertEqual(target.pauses[:9], [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
        self.assertEqual(target.pauses[9:], [0.1])

    def test_a_mapping_that_is_switched_off_says_where_it_was(self) -> None:
        target = Recorder(poison(4))
        target.stops_after = 4
        left = deliver([records(1, 2), records(3, 4), records(5)], Rules(), target)
        self.assertEqual(target.batches, [[1, 2]] + [[3, 4]] * 3)
        self.assertEqual(left and numbers([left]), [3])

    def test_between_two_halves_it_goes_on_with_the_second(self) -> None:
        target = Recorder(poison(4))
        target.stops_after = 2
        left = deliver([records(1, 2, 3, 4)], Rules(bisects=True), target)
        self.assertEqual(target.batches, [[1, 2, 3, 4], [1, 2]])
        self.assertEqual(left and numbers([left]), [3])


if __name__ == "__main__":
    unittest.main()
