"""The stream `scores`: the same rules as in `shared/aws/src/kinesis.rs`."""

import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from rendezvous_model import clock
from rendezvous_model.score import type_name

log = logging.getLogger(__name__)

# The limits of one PutRecords. Kinesis takes 500 records and 10 MiB; 5 MB was the limit before, and some emulators' is.
MAX_RECORDS = 500
MAX_BYTES = 5_000_000

# Pauses before rejected records are sent again: at most 10 ms at first, twice as long each time, and never more than half
# a second. Throttling is counted by the second.
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.5

_THROTTLED = ("Throttl", "LimitExceeded", "ThroughputExceeded", "SlowDown", "TooManyRequests")


class KinesisClient(Protocol):
    """What is used of boto3's client."""

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]: ...


class Record(NamedTuple):
    key: str
    data: bytes


class _Refused(NamedTuple):
    """What one call did not take."""

    indexes: Sequence[int]
    cause: str
    for_good: bool


class Stream:
    """A Kinesis stream, by name."""

    def __init__(self, name: str, client: KinesisClient) -> None:
        self.name = name
        self.client = client

    def put(self, records: Sequence[Record], until: float) -> list[int]:
        """Puts records, and again those that are rejected, until the monotonic clock is `until`.

        Returns the positions of the records that were not taken. A record may be put twice; none counts as taken that
        was not.
        """
        pending = list(range(len(records)))
        pause = FIRST_PAUSE
        while True:
            rejected, last = self._put_once(records, pending)
            if last is None:
                return []
            jittered = pause * random.random()
            if last.for_good or clock.monotonic() + jittered >= until:
                log.warning("%d scores were not sent (%s); their requests come again", len(rejected), last.cause)
                return rejected
            clock.sleep(jittered)
            pause = min(pause * 2, LONGEST_PAUSE)
            pending = rejected

    def _put_once(self, records: Sequence[Record], pending: list[int]) -> tuple[list[int], _Refused | None]:
        rejected: list[int] = []
        last = None
        for portion in portions(records, pending):
            refused = self._call([records[i] for i in portion])
            if refused.indexes:
                rejected.extend(portion[i] for i in refused.indexes)
                last = refused
        return rejected, last

    def _call(self, records: Sequence[Record]) -> _Refused:
        entries = [{"PartitionKey": record.key, "Data": record.data} for record in records]
        try:
            response = self.client.put_records(StreamName=self.name, Records=entries)
        except Exception as error:
            return _failed(error, len(records))
        codes = {i: entry["ErrorCode"] for i, entry in enumerate(response["Records"]) if entry.get("ErrorCode")}
        return _Refused(list(codes), ", ".join(sorted(set(codes.values()))), False)


def portions(records: Sequence[Record], pending: Sequence[int]) -> Iterator[list[int]]:
    """Cuts the records at these positions into as few calls as the limits allow."""
    portion: list[int] = []
    size = 0
    for i in pending:
        bytes_ = len(records[i].data) + len(records[i].key.encode())
        if portion and (len(portion) == MAX_RECORDS or size + bytes_ > MAX_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(i)
        size += bytes_
    if portion:
        yield portion


def _failed(error: Exception, count: int) -> _Refused:
    """A call that failed as a whole. Botocore's errors of a service have a response."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        # The connection, or a time-out. The text may name the address; the type says enough.
        return _Refused(range(count), type_name(error), False)
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    throttled = any(sign in code for sign in _THROTTLED)
    # No stream, no permission, no such key: another attempt fails, too.
    return _Refused(range(count), code, 400 <= status < 500 and not throttled)
