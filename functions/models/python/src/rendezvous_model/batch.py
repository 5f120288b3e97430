"""A batch of the stream `input`, as Lambda's event source mapping hands it over."""

import base64
import binascii
import logging
from dataclasses import dataclass, field
from typing import Any

from rendezvous_model import clock, request
from rendezvous_model.members import Unreadable
from rendezvous_model.request import Request

log = logging.getLogger(__name__)

# The end of the year 9999, in seconds since the epoch.
_LAST_ARRIVAL = 253_402_300_799


@dataclass
class Batch:
    """The readable requests of a batch, in the order of their shard."""

    requests: list[tuple[str, Request]] = field(default_factory=list)
    """Each with the sequence number of its record."""
    unreadable: int = 0
    oldest_us: int | None = None
    """When the oldest record arrived on the stream."""

    def lag_us(self) -> int:
        """How far behind the stream the batch is."""
        return 0 if self.oldest_us is None else max(0, clock.now_us() - self.oldest_us)


def read(event: Any) -> Batch:
    """Reads an event. A record that cannot be read is logged and skipped, so that it does not block its shard."""
    if not isinstance(event, dict) or not isinstance(event.get("Records"), list):
        raise ValueError("the event is not a batch of a Kinesis stream: it has no list Records")
    batch = Batch()
    for record in event["Records"]:
        try:
            sequence, arrived_us, data = _record(record)
            batch.oldest_us = arrived_us if batch.oldest_us is None else min(batch.oldest_us, arrived_us)
            batch.requests.append((sequence, request.parse(data)))
        except Unreadable as reason:
            batch.unreadable += 1
            log.warning("a record cannot be read and is skipped: %s; record %s", reason, _place(record))
    return batch


def _record(record: Any) -> tuple[str, int, bytes]:
    """The record's sequence number, when it arrived, and its data."""
    kinesis = record.get("kinesis") if isinstance(record, dict) else None
    if not isinstance(kinesis, dict) or not isinstance(kinesis.get("sequenceNumber"), str):
        raise Unreadable("it is not a record of a Kinesis stream")
    arrived = kinesis.get("approximateArrivalTimestamp")
    if not isinstance(arrived, int | float) or not 0 <= arrived <= _LAST_ARRIVAL:
        raise Unreadable("its time of arrival is missing or wrong")
    try:
        data = base64.b64decode(kinesis["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise Unreadable("its data is not base64") from None
    return kinesis["sequenceNumber"], round(arrived * 1_000_000), data


def _place(record: Any) -> str:
    """The record's shard and sequence number, for the log."""
    place = record.get("eventID") if isinstance(record, dict) else None
    return place if isinstance(place, str) else "without an eventID"
