"""Records as a function sees them."""

import base64
from typing import Any

Event = dict[str, Any]


def record(number: int, key: str = "k", data: str = "", arrived: float = 0.0) -> Event:
    """A record of Kinesis."""
    return {
        "kinesis": {
            "sequenceNumber": str(number),
            "partitionKey": key,
            "data": base64.b64encode(data.encode()).decode(),
            "approximateArrivalTimestamp": arrived,
        }
    }


def change(number: int, item: str, arrived: float = 0.0) -> Event:
    """A record of a table's change stream."""
    return {
        "dynamodb": {
            "SequenceNumber": str(number),
            "Keys": {"id": {"S": item}},
            "ApproximateCreationDateTime": arrived,
        }
    }


def records(*numbers: int) -> list[Event]:
    """Records with these sequence numbers."""
    return [record(number) for number in numbers]


def numbers(events: list[Event]) -> list[int]:
    """The sequence numbers of records of Kinesis."""
    return [int(event["kinesis"]["sequenceNumber"]) for event in events]
