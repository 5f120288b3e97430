"""Which records of a shard pass a mapping's filters."""

import base64
import json
from collections.abc import Callable
from typing import Any

from native_localstack.mappings.batches import Event

Pattern = dict[str, Any]


def select(events: list[Event], patterns: list[Pattern], matches: Callable[[Pattern, Event], bool]) -> list[Event]:
    """The records that match one of the patterns, as they are; all of them if there is no pattern.

    A pattern on `data` is about the JSON in a record of Kinesis. As on Lambda, a record that is no JSON does not match it.
    """
    if not patterns:
        return events
    by_data = any("data" in pattern for pattern in patterns)
    return [event for event in events if _passes(event, patterns, matches, by_data)]


def _passes(event: Event, patterns: list[Pattern], matches: Callable[[Pattern, Event], bool], by_data: bool) -> bool:
    # LocalStack's own filter stops at bytes that are no UTF-8, and hands on data that it has encoded anew.
    view = event
    if by_data and "kinesis" in event:
        try:
            view = event | {"data": json.loads(base64.b64decode(event["kinesis"]["data"]))}
        except ValueError:
            return False
    return any(matches(pattern, view) for pattern in patterns)
