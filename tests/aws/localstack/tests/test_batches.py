import unittest

from native_localstack.mappings.batches import MOST_BYTES, arrived, lanes, sequence_number, split
from tests.events import change, numbers, record, records


class Split(unittest.TestCase):
    def test_by_number(self) -> None:
        batches = list(split(records(1, 2, 3, 4, 5), 2))
        self.assertEqual([numbers(batch) for batch in batches], [[1, 2], [3, 4], [5]])

    def test_by_size(self) -> None:
        third = "x" * (MOST_BYTES // 4)
        batches = list(split([record(number, data=third) for number in range(5)], 100))
        # A third of a batch as Base64 is a little more with the fields around it, so that two fit.
        self.assertEqual([numbers(batch) for batch in batches], [[0, 1], [2, 3], [4]])

    def test_a_record_that_is_too_large_is_a_batch_of_its_own(self) -> None:
        large = record(2, data="x" * MOST_BYTES)
        batches = list(split([record(1), large, record(3)], 100))
        self.assertEqual([numbers(batch) for batch in batches], [[1], [2], [3]])

    def test_nothing(self) -> None:
        self.assertEqual(list(split([], 10)), [])

    def test_changes_of_a_table(self) -> None:
        changes = [change(number, "x" * 2_000_000) for number in range(4)]
        self.assertEqual([len(batch) for batch in split(changes, 100)], [3, 1])


class Lanes(unittest.TestCase):
    def test_a_key_keeps_to_its_lane_and_its_order(self) -> None:
        events = [record(number, key=f"k{number % 7}") for number in range(70)]
        spread = lanes(events, 3)
        self.assertEqual(sum(len(lane) for lane in spread), 70)
        for key in range(7):
            having = [lane for lane in spread if any(e["kinesis"]["partitionKey"] == f"k{key}" for e in lane)]
            self.assertEqual(len(having), 1)
            of_key = [n for n in numbers(having[0]) if n % 7 == key]
            self.assertEqual(of_key, list(range(key, 70, 7)))

    def test_all_lanes_are_used(self) -> None:
        events = [record(number, key=f"k{number}") for number in range(100)]
        for count in (2, 4, 10):
            self.assertTrue(all(len(lane) > 50 / count for lane in lanes(events, count)))

    def test_changes_of_an_item_keep_to_a_lane(self) -> None:
        spread = lanes([change(number, f"i{number % 3}") for number in range(9)], 4)
        for item in range(3):
            having = [lane for lane in spread if any(int(sequence_number(e)) % 3 == item for e in lane)]
            self.assertEqual(len(having), 1)


class Fields(unittest.TestCase):
    def test_of_both_kinds(self) -> None:
        self.assertEqual(sequence_number(record(7)), "7")
        self.assertEqual(sequence_number(change(8, "i")), "8")
        self.assertEqual(arrived(record(7, arrived=3.5)), 3.5)
        self.assertEqual(arrived(change(8, "i", arrived=4.5)), 4.5)


if __name__ == "__main__":
    unittest.main()
