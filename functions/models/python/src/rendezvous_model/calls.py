"""The calls of the model, whatever the model does."""

import logging
import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from rendezvous_model import alarm, clock
from rendezvous_model.limits import Limits
from rendezvous_model.request import Request
from rendezvous_model.score import Failure, Invalid, Result, checked, failure, type_name

log = logging.getLogger(__name__)

# The innermost frames of an exception that are logged, and whose frames are not.
_FRAMES = 12
_OWN = os.path.join(os.path.dirname(__file__), "")

ScoreBatch = Callable[[list[Any]], Any]


class _CallFailed(Exception):
    """A call gave no results."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def results(score_batch: ScoreBatch, requests: Sequence[Request], limits: Limits) -> list[Result]:
    """Exactly one result for each request, before the limits end."""
    readable = [request for request in requests if request.exact]
    scored = iter(_results(score_batch, readable, limits))
    unread = failure("invalid", "the payload holds a number that Python does not read")
    return [next(scored) if request.exact else unread for request in requests]


def _results(score_batch: ScoreBatch, requests: list[Request], limits: Limits) -> list[Result]:
    if not requests:
        return []
    try:
        return _call(score_batch, [request.payload for request in requests], limits)
    except _CallFailed as failed:
        if len(requests) == 1 or failed.failure.kind == "timed_out":
            return [failed.failure] * len(requests)
    # One payload may have failed the call for all: score each alone, so that only that one fails.
    return [_alone(score_batch, request, limits) for request in requests]


def _alone(score_batch: ScoreBatch, request: Request, limits: Limits) -> Result:
    try:
        return _call(score_batch, [request.fresh_payload()], limits)[0]
    except _CallFailed as failed:
        return failed.failure


def _call(score_batch: ScoreBatch, payloads: list[Any], limits: Limits) -> list[Result]:
    count = len(payloads)
    returned = _returned(score_batch, payloads, limits)
    if not isinstance(returned, list | tuple):
        raise _CallFailed(failure("failed", f"the model returned {type_name(returned)}, not a list"))
    if len(returned) != count:
        raise _CallFailed(failure("failed", f"the model returned {len(returned)} results for {count} payloads"))
    return [checked(value) for value in returned]


def _returned(score_batch: ScoreBatch, payloads: list[Any], limits: Limits) -> Any:
    limit = limits.next()
    timed_out = _CallFailed(failure("timed_out", limit.message()))
    if limit.seconds <= 0:
        raise timed_out
    start = clock.monotonic()
    try:
        returned = alarm.call(limit.seconds, lambda: score_batch(payloads))
    except alarm.TimedOut:
        raise timed_out from None
    except KeyboardInterrupt:
        # Somebody ends the process.
        raise
    except Invalid as error:
        raise _CallFailed(failure("invalid", str(error))) from None
    except BaseException as error:
        # Also SystemExit, with which a library may want to end the process.
        _log(error)
        raise _CallFailed(failure("failed", f"the model raised {type_name(error)}")) from None
    # What cannot be interrupted, or catches the interruption, is late all the same.
    if clock.monotonic() - start > limit.seconds:
        raise timed_out
    return returned


def _log(error: BaseException) -> None:
    """Logs what was raised, and where. Not its text, nor lines of source: either may quote the payload."""
    frames = [
        f"{frame.f_code.co_filename}:{line} {frame.f_code.co_qualname}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_OWN)
    ]
    log.error("the model raised %s at %s", type_name(error), " < ".join(reversed(frames[-_FRAMES:])))
