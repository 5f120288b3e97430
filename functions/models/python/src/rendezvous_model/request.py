"""A record of the stream `input`."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from rendezvous_model import names
from rendezvous_model.members import Unreadable, members

# The version of the messages that this code reads and writes.
VERSION = 1

# The largest payload.
MAX_PAYLOAD_BYTES = 5_000_000

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_LONGEST_DEADLINE_US = 15 * 60 * 1_000_000
_TIMES = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a payload is that is too large for a record, and what it must be."""

    url: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Request:
    id: str
    raw_envelope: str
    endpoint: str
    key: str
    deadline_us: int
    skip: list[str]
    raw_payload: str
    payload: Any
    # False when Python cannot read a number of the payload.
    exact: bool
    # In the place of the payload, until it is read.
    reference: Reference | None = None

    def with_payload(self, text: str) -> "Request":
        """The request with this payload in the place of the reference. Raises `Unreadable`."""
        payload = members(f'{{"payload":{text}}}')["payload"]
        raw, value, exact = text.strip(" \t\n\r"), payload.value, payload.exact
        return replace(self, raw_payload=raw, payload=value, exact=exact, reference=None)

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
    envelope, payload, reference = found.get("envelope"), found.get("payload"), found.get("payload_ref")
    if envelope is None:
        raise Unreadable("it has no envelope")
    if (payload is None) == (reference is None):
        raise Unreadable("it has not either a payload or a payload_ref")
    fields = _checked(envelope.value)
    return Request(
        id=fields["id"],
        raw_envelope=text[envelope.start : envelope.end],
        endpoint=fields["endpoint"],
        key=fields["key"],
        deadline_us=fields["deadline_us"],
        skip=fields.get("skip") or [],
        raw_payload=text[payload.start : payload.end] if payload else "",
        payload=payload.value if payload else None,
        exact=payload.exact if payload else True,
        reference=_reference(reference.value) if reference else None,
    )


def _reference(value: Any) -> Reference:
    """The reference, if all its fields are as the contract says."""
    fields = value if isinstance(value, dict) else {}
    url, sha256, count = fields.get("url"), fields.get("sha256"), fields.get("bytes")
    if not isinstance(url, str) or not isinstance(sha256, str) or not _SHA256.match(sha256):
        raise Unreadable("url or sha256 in its payload_ref is missing or wrong")
    if type(count) is not int or not 1 <= count <= MAX_PAYLOAD_BYTES:
        raise Unreadable("bytes in its payload_ref is missing or wrong")
    return Reference(url, sha256, count)


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
