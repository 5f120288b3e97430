"""Where the members of a JSON object stand in its text.

The envelope goes back byte for byte, so that its span is needed. The standard json module reads each value and says where
it ends; here is only what is between the values.
"""

import json
import re
from typing import Any, NamedTuple, NoReturn


class Unreadable(Exception):
    """A record is no message of this contract. The reason quotes nothing of it, so that it can be logged."""


class Member(NamedTuple):
    value: Any
    start: int
    end: int
    # False when Python refuses to read a number of the value, which `value` then has as text.
    exact: bool


def members(text: str) -> dict[str, Member]:
    """The members of the object that `text` is. Of members with the same name the last counts."""
    found: dict[str, Member] = {}
    at = _after("{", text, _skip(text, 0))
    if text[at : at + 1] != "}":
        while True:
            name, member = _member(text, at)
            found[name] = member
            at = _skip(text, member.end)
            if text[at : at + 1] != ",":
                break
            at = _skip(text, at + 1)
    if _after("}", text, at) != len(text):
        raise Unreadable("there is something after the JSON object")
    return found


def _member(text: str, at: int) -> tuple[str, Member]:
    if text[at : at + 1] != '"':
        raise Unreadable("it is not a JSON object")
    name, at, _ = _value(text, at)
    start = _after(":", text, _skip(text, at))
    value, end, exact = _value(text, start)
    return name, Member(value, start, end, exact)


def _value(text: str, at: int) -> tuple[Any, int, bool]:
    """The value that begins at `at`, where it ends, and whether it is exact."""
    try:
        return *_DECODER.raw_decode(text, at), True
    except (json.JSONDecodeError, RecursionError):
        raise Unreadable("it is not JSON") from None
    except ValueError:
        # Python refuses a whole number of more than 4,300 digits. It is JSON nevertheless.
        return *_LENIENT.raw_decode(text, at), False


def _after(character: str, text: str, at: int) -> int:
    """Where the next token begins after the one that `character` is."""
    if text[at : at + 1] != character:
        raise Unreadable("it is not a JSON object")
    return _skip(text, at + 1)


_SPACE = re.compile(r"[ \t\n\r]*")


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _refuse(_constant: str) -> NoReturn:
    raise Unreadable("it has NaN or an infinity, which are not JSON")


def _whole(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:
        return digits


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_LENIENT = json.JSONDecoder(parse_constant=_refuse, parse_int=_whole)
