"""A record of the stream `input`."""

import json
from dataclasses import dataclass
from typing import Any

from rendezvous_model import names
from rendezvous_model.members import Member, Unreadable, members

# The version of the messages that this code reads and writes.
VERSION = 1

_LONGEST_DEADLINE_US = 15 * 60 * 1_000_000
_TIMES = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Request:
    raw_envelope: str
    endpoint: str
    key: str
    deadline_us: int
    skip: list[str]
    raw_payload: str
    payload: Any
    # False when Python cannot read a number of the payload.
    exact: bool

    def fresh_payload(self) -> Any:
        """The payload as it came: a model may have changed the other one."""
        return json.loads(self.raw_payload)


def parse(record: bytes) -> Request:
    """Reads a record. Raises `Unreadable` where the Rust types refuse the record."""
    try:
        text = record.decode()
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    found = members(text)
    version = found.get("v")
    if version is None or type(version.value) is not int or version.value != VERSION:
        raise Unreadable(f'its "v" is not {VERSION}')
    envelope, payload = found.get("envelope"), found.get("payload")
    if envelope is None or payload is None:
        raise Unreadable("it has no envelope or no payload")
    return _request(text, envelope, payload)


def _request(text: str, envelope: Member, payload: Member) -> Request:
    fields = _checked(envelope.value)
    return Request(
        raw_envelope=text[envelope.start : envelope.end],
        endpoint=fields["endpoint"],
        key=fields["key"],
        deadline_us=fields["deadline_us"],
        skip=fields.get("skip") or [],
        raw_payload=text[payload.start : payload.end],
        payload=payload.value,
        exact=payload.exact,
    )


def _checked(envelope: Any) -> dict[str, Any]:
    """The envelope, if all its fields are as the contract says."""
    if not isinstance(envelope, dict):
        raise Unreadable("its envelope is not an object")
    for name, is_right in _FIELDS.items():
        if not is_right(envelope.get(name)):
            raise Unreadable(f"{name} in its envelope is missing or wrong")
    if not 0 < envelope["deadline_us"] - envelope["received_us"] <= _LONGEST_DEADLINE_US:
        raise Unreadable("deadline_us in its envelope is not 1 us to 900 s after received_us")
    return envelope


# type(...) is int, because a bool is an instance of int.
def _is_time(value: object) -> bool:
    return type(value) is int and value in _TIMES


def _is_version(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**64


def _is_optional_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_skip(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(model, str) for model in value))


_FIELDS = {
    "id": names.is_request_id,
    "endpoint": names.is_slug,
    "config": _is_version,
    "arm": names.is_slug,
    "key": names.is_key,
    "received_us": _is_time,
    "deadline_us": _is_time,
    "traceparent": _is_optional_text,
    "skip": _is_skip,
}
