"""How the records of a shard become batches."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

# A record as a function sees it, of Kinesis or of a table's change stream.
Event = dict[str, Any]

# The payload of an invocation is at most 6 MB.
MOST_BYTES = 6 * 1024 * 1024

# What a record of Kinesis has in an event beside its data: ids, times, ARNs.
FRAME_BYTES = 400


def size(event: Event) -> int:
    """How many bytes of an invocation's payload the record takes, about."""
    if "kinesis" in event:
        return len(event["kinesis"]["data"]) + FRAME_BYTES
    return len(json.dumps(event, default=str))


def split(events: list[Event], most_records: int) -> Iterator[list[Event]]:
    """Batches of at most `most_records` records and 6 MB. A record is in a batch even if it alone is larger."""
    batch: list[Event] = []
    taken = 0
    for event in events:
        bytes_ = size(event)
        if batch and (len(batch) == most_records or taken + bytes_ > MOST_BYTES):
            yield batch
            batch, taken = [], 0
        batch.append(event)
        taken += bytes_
    if batch:
        yield batch


def key(event: Event) -> str:
    """What decides which records must stay in order: the partition key, or the key of the table's item."""
    if "kinesis" in event:
        return str(event["kinesis"]["partitionKey"])
    return json.dumps(event["dynamodb"].get("Keys"), sort_keys=True)


def lanes(events: list[Event], count: int) -> list[list[Event]]:
    """Spreads records over `count` lanes. All records of a key are in one lane, in order."""
    result: list[list[Event]] = [[] for _ in range(count)]
    for event in events:
        digest = hashlib.md5(key(event).encode(), usedforsecurity=False).digest()
        result[int.from_bytes(digest) % count].append(event)
    return result


def sequence_number(event: Event) -> str:
    """The record's place in its shard."""
    if "kinesis" in event:
        return str(event["kinesis"]["sequenceNumber"])
    return str(event["dynamodb"]["SequenceNumber"])


def arrived(event: Event) -> float:
    """When the stream took the record, in seconds since the epoch."""
    if "kinesis" in event:
        return float(event["kinesis"]["approximateArrivalTimestamp"])
    return float(event["dynamodb"]["ApproximateCreationDateTime"])
