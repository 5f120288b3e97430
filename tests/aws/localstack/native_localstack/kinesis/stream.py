"""A stream of Kinesis in memory."""

import base64
import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

HASH_KEYS = 2**128
# Where sequence numbers begin: they have 56 digits, as on AWS.
FIRST_NUMBER = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
MOST_RECORDS = 10_000
MOST_READ_BYTES = 10 * 1024 * 1024

Record = dict[str, Any]


class NotFound(Exception):
    """A stream, shard or consumer that does not exist."""


def now() -> datetime:
    """To the millisecond, as Kinesis tells the time."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Shard:
    """Records in order, and whoever waits for the next one. Nothing is ever forgotten."""

    def __init__(self, index: int, start: int, end: int) -> None:
        self.id = f"shardId-{index:012}"
        self.start, self.end = start, end
        self.first = FIRST_NUMBER + (index << 4)
        self.records: list[Record] = []
        self.changed = threading.Condition()

    def append(self, record: Record) -> str:
        """Returns the record's sequence number."""
        with self.changed:
            number = str(self.first + (len(self.records) << 16))
            self.records.append(record | {"SequenceNumber": number})
            self.changed.notify_all()
        return number

    def position(self, number: str) -> int:
        """The index of the record with this sequence number."""
        return max(0, (int(number) - self.first) >> 16)

    def position_at(self, time: datetime) -> int:
        """The index of the first record that is not older."""
        arrivals = enumerate(record["ApproximateArrivalTimestamp"] for record in self.records)
        return next((i for i, arrival in arrivals if arrival >= time), len(self.records))

    def read(self, position: int, limit: int) -> list[Record]:
        """As many records as one GetRecords returns."""
        records: list[Record] = []
        taken = 0
        for record in self.records[position : position + min(limit, MOST_RECORDS)]:
            taken += len(record["Data"])
            if taken > MOST_READ_BYTES:
                break
            records.append(record)
        return records

    def wait(self, position: int, seconds: float) -> None:
        """Returns when there is a record at `position`, after so many seconds at the latest."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.records) > position, seconds)

    def describe(self) -> dict[str, Any]:
        """As in DescribeStream."""
        return {
            "ShardId": self.id,
            "HashKeyRange": {"StartingHashKey": str(self.start), "EndingHashKey": str(self.end)},
            "SequenceNumberRange": {"StartingSequenceNumber": str(self.first)},
        }


@dataclass
class Stream:
    """A stream with a fixed number of shards."""

    name: str
    arn: str
    mode: str
    count: int
    created: datetime = field(default_factory=now)
    retention_hours: int = 24
    encryption: str = "NONE"
    key: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    consumers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        step = HASH_KEYS // self.count
        starts = [index * step for index in range(self.count)]
        ends = [*(start - 1 for start in starts[1:]), HASH_KEYS - 1]
        self.shards = [Shard(index, *ends_) for index, ends_ in enumerate(zip(starts, ends, strict=True))]

    def put(self, data: bytes, key: str, explicit_hash: str | None = None) -> dict[str, str]:
        """Returns the record's shard and sequence number."""
        digest = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        value = int(explicit_hash) if explicit_hash else int(digest, 16)
        shard = next(shard for shard in self.shards if value <= shard.end)
        number = shard.append(
            {
                "Data": data,
                "PartitionKey": key,
                "ApproximateArrivalTimestamp": now(),
                "EncryptionType": self.encryption,
            }
        )
        return {"SequenceNumber": number, "ShardId": shard.id}

    def shard(self, shard_id: str) -> Shard:
        """The shard with this id."""
        for shard in self.shards:
            if shard.id == shard_id:
                return shard
        raise NotFound(f"Shard {shard_id} in stream {self.name} does not exist")

    def register(self, name: str) -> dict[str, Any]:
        """A consumer with enhanced fan-out. Its ARN ends with its time, so that the same name later has another one."""
        created = now()
        self.consumers[name] = {
            "ConsumerName": name,
            "ConsumerARN": f"{self.arn}/consumer/{name}:{int(created.timestamp())}",
            "ConsumerStatus": "ACTIVE",
            "ConsumerCreationTimestamp": created,
        }
        return self.consumers[name]

    def describe(self) -> dict[str, Any]:
        """What DescribeStream and DescribeStreamSummary have in common."""
        described = {
            "StreamName": self.name,
            "StreamARN": self.arn,
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": self.mode},
            "RetentionPeriodHours": self.retention_hours,
            "StreamCreationTimestamp": self.created,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": self.encryption,
        }
        return described | ({"KeyId": self.key} if self.key else {})


def iterator(stream: Stream, shard: Shard, position: int) -> str:
    """A shard iterator. It does not expire."""
    return base64.urlsafe_b64encode(f"{stream.name}/{shard.id}/{position}".encode()).decode()


def resolve(text: str) -> tuple[str, str, int]:
    """The stream's name, the shard's id and the position of an iterator."""
    name, shard_id, position = base64.urlsafe_b64decode(text).decode().split("/")
    return name, shard_id, int(position)
