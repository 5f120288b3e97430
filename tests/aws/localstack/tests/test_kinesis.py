import threading
import unittest
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from native_localstack.kinesis.stream import HASH_KEYS, MOST_READ_BYTES, NotFound, Stream, iterator, resolve


def stream(count: int = 4) -> Stream:
    return Stream("s", "arn:aws:kinesis:us-east-1:000000000000:stream/s", "PROVISIONED", count)


class Streams(unittest.TestCase):
    def test_the_shards_cover_all_hash_keys(self) -> None:
        for count in (1, 3, 4):
            shards = stream(count).shards
            self.assertEqual((shards[0].start, shards[-1].end), (0, HASH_KEYS - 1))
            for one, next_one in pairwise(shards):
                self.assertEqual(one.end + 1, next_one.start)

    def test_a_key_has_one_shard_and_numbers_grow(self) -> None:
        some = stream()
        put = [some.put(b"x", "k") for _ in range(3)]
        self.assertEqual(len({each["ShardId"] for each in put}), 1)
        numbers = [int(each["SequenceNumber"]) for each in put]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual({len(each["SequenceNumber"]) for each in put}, {56})
        shard = some.shard(put[0]["ShardId"])
        self.assertEqual([shard.position(each["SequenceNumber"]) for each in put], [0, 1, 2])

    def test_an_explicit_hash_key_comes_before_the_partition_key(self) -> None:
        some = stream()
        placed = {some.put(b"x", "k", str(shard.end))["ShardId"] for shard in some.shards}
        self.assertEqual(placed, {shard.id for shard in some.shards})

    def test_a_read_ends_at_its_limit_and_at_10_mb(self) -> None:
        some = stream(1)
        for _ in range(3):
            some.put(b"x" * (MOST_READ_BYTES // 2), "k")
        shard = some.shards[0]
        self.assertEqual(len(shard.read(0, 1)), 1)
        self.assertEqual(len(shard.read(0, 100)), 2)
        self.assertEqual(len(shard.read(3, 100)), 0)

    def test_positions_by_time(self) -> None:
        some = stream(1)
        some.put(b"x", "k")
        shard = some.shards[0]
        arrival = shard.records[0]["ApproximateArrivalTimestamp"]
        self.assertEqual(arrival.microsecond % 1000, 0, "Kinesis tells the time to the millisecond")
        self.assertEqual(shard.position_at(arrival), 0)
        self.assertEqual(shard.position_at(datetime.now(UTC) + timedelta(hours=1)), 1)

    def test_who_waits_is_woken(self) -> None:
        some = stream(1)
        waiting = threading.Thread(target=some.shards[0].wait, args=(0, 60))
        waiting.start()
        some.put(b"x", "k")
        waiting.join(10)
        self.assertFalse(waiting.is_alive())

    def test_an_iterator_says_where(self) -> None:
        some = stream()
        self.assertEqual(resolve(iterator(some, some.shards[2], 17)), ("s", "shardId-000000000002", 17))
        with self.assertRaises(NotFound):
            some.shard("shardId-000000000009")

    def test_a_consumer_has_an_arn_of_its_own(self) -> None:
        some = stream()
        arn = some.register("c")["ConsumerARN"]
        self.assertTrue(arn.startswith(f"{some.arn}/consumer/c:"))


if __name__ == "__main__":
    unittest.main()
