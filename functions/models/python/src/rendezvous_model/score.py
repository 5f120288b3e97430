"""A record of the stream `scores`: what a model returned, checked and written."""

import json
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from rendezvous_model.request import VERSION

MAX_SCORE_BYTES = 16 * 1024
MAX_MESSAGE_CHARS = 500

Kind = Literal["failed", "timed_out", "expired", "invalid"]


class Invalid(Exception):
    """Raised by a model for a payload that does not fit it, e.g. one that lacks a field.

    Its text is the message of the failure `invalid`, which is archived and shown to clients. It must name what is wrong
    and must not quote the payload: `Invalid("/amount is not a number")`.
    """


@dataclass(frozen=True, slots=True)
class Score:
    """The score as JSON text."""

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a model gave no score. The message holds no part of the payload."""

    kind: Kind
    message: str


Result = Score | Failure


def failure(kind: Kind, message: str) -> Failure:
    """A failure whose message is cut to what the contract allows."""
    # A lone surrogate cannot be encoded as UTF-8.
    text = message[:MAX_MESSAGE_CHARS].encode(errors="replace").decode()
    return Failure(kind, text)


def checked(value: Any) -> Result:
    """What a model returned for one payload, as its result."""
    if isinstance(value, Invalid):
        return failure("invalid", str(value))
    if value is None:
        return failure("invalid", "null is no score")
    try:
        text = _ENCODER.encode(value)
        size = len(text.encode())
    except _NotJson as error:
        return failure("invalid", f"the score holds a value of type {error}, which JSON does not have")
    except UnicodeEncodeError:
        return failure("invalid", "the score holds text that is not Unicode")
    except ValueError:
        return failure("invalid", "the score holds NaN, an infinity, a very long number, or itself")
    except RecursionError:
        return failure("invalid", "the score is nested too deeply")
    except Exception as error:
        return failure("invalid", f"the score cannot be written as JSON: {type_name(error)}")
    if size > MAX_SCORE_BYTES:
        return failure("invalid", f"a score of {size} bytes; at most {MAX_SCORE_BYTES} are allowed")
    return Score(text)


def write(
    raw_envelope: str, model: str, started_us: int, finished_us: int, result: Result, artifact: str | None = None
) -> bytes:
    """The record of a result; the request's envelope goes back as it came."""
    if isinstance(result, Score):
        answer = f'"score":{result.text}'
    else:
        answer = f'"failure":{_ENCODER.encode({"kind": result.kind, "message": result.message})}'
    named = "" if artifact is None else f'"artifact":"{artifact}",'
    message = (
        f'{{"v":{VERSION},"envelope":{raw_envelope},"model":"{model}",{named}'
        f'"started_us":{started_us},"finished_us":{finished_us},{answer}}}'
    )
    return message.encode()


def type_name(value: object) -> str:
    """The name of a value's type, with its module unless it is a builtin."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class _NotJson(Exception):
    """The encoder met a value of a type that JSON does not have. The text is the type's name."""


def _refuse(value: object) -> NoReturn:
    raise _NotJson(type_name(value))


# For the messages of the contract, the same text that serde_json writes.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse)
