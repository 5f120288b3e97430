"""Calls a handler without AWS.

    from rendezvous_model.testing import invoke
    from handler import handle

    assert invoke(handle, {"amount": 12})[0]["score"] == {"probability": 0.5}

Needs no network, no credentials and no environment variable.
"""

import base64
import json
import uuid
from typing import Any

from rendezvous_model import clock
from rendezvous_model.handler import Handler


class Scores:
    """A client of Kinesis that keeps what is put."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.records.extend(Records)
        return {"FailedRecordCount": 0, "Records": [{} for _ in Records]}

    def messages(self) -> list[dict[str, Any]]:
        """The score messages, in the order in which they were put."""
        return [json.loads(record["Data"]) for record in self.records]


def invoke(handle: Handler, *payloads: Any) -> list[dict[str, Any]]:
    """The score messages that the handler sends for requests with these payloads, in their order.

    The requests are of the model's first endpoint by name, and have ten seconds.
    """
    scores = Scores()
    handle.using(scores)(event(min(handle.profile.endpoints), *payloads))
    order = {message["envelope"]["id"]: message for message in scores.messages()}
    return [order[key] for key in sorted(order)]


def event(endpoint: str, *payloads: Any, within_ms: int = 10_000) -> dict[str, Any]:
    """The event of a batch of requests with these payloads, as Lambda sends it."""
    return {"Records": [_record(i, endpoint, payload, within_ms) for i, payload in enumerate(payloads)]}


def _record(number: int, endpoint: str, payload: Any, within_ms: int) -> dict[str, Any]:
    now = clock.now_us()
    # Ids in the order of the payloads.
    id = str(uuid.UUID(int=number))
    envelope = {
        "id": id,
        "endpoint": endpoint,
        "config": 1,
        "arm": "main",
        "key": id,
        "received_us": now,
        "deadline_us": now + within_ms * 1_000,
    }
    data = json.dumps({"v": 1, "envelope": envelope, "payload": payload}, separators=(",", ":"))
    return record(data.encode(), str(number), id)


def record(data: bytes, sequence: str, key: str = "key") -> dict[str, Any]:
    """A record of an event, which holds these bytes and arrived now."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": sequence,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": clock.now_us() / 1_000_000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sequence}",
        "eventName": "aws:kinesis:record",
    }
