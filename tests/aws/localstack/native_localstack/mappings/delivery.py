"""How a batch is delivered: retries, bisecting, checkpoints, age, and the end of it.

After "How Lambda processes records from stream-based event sources": a batch comes again until it has been handled, its
retries have ended or its records are too old. Whatever is given up goes to the on-failure destination.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from native_localstack.mappings.batches import Event, arrived

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0

RETRIES_EXHAUSTED = "RetryAttemptsExhausted"
TOO_OLD = "RecordAgeExceeded"


@dataclass(frozen=True)
class Rules:
    """What a mapping says about failed batches; -1 stands for no limit."""

    most_retries: int = -1
    most_seconds: int = -1
    bisects: bool = False


@dataclass(frozen=True)
class Result:
    """What became of an invocation."""

    # The index of the first record that was not handled; None if all were.
    failed_from: int | None = None
    # Whether the function failed as a whole, so that it is unknown which record is to blame.
    crashed: bool = False
    # Whether the function was invoked at all: what fails before, as throttling does, uses up no retry.
    invoked: bool = True
    # What the on-failure destination is told.
    error: dict[str, Any] = field(default_factory=dict)


HANDLED = Result()


class Target(Protocol):
    """The function, the on-failure destination, the clock, and the switch of the mapping."""

    def invoke(self, batch: list[Event]) -> Result: ...

    def give_up(self, batch: list[Event], condition: str, error: dict[str, Any], attempts: int) -> None: ...

    def now(self) -> float: ...

    def wait(self, seconds: float) -> None: ...

    def stopped(self) -> bool: ...


@dataclass
class _Batch:
    events: list[Event]
    retries: int = 0


def deliver(batches: list[list[Event]], rules: Rules, target: Target) -> Event | None:
    """Delivers batches one after the other. Returns the first record that was neither handled nor given up, which there
    is only if the mapping was switched off."""
    queue = deque(_Batch(events) for events in batches)
    pause = FIRST_PAUSE
    while queue:
        batch = queue.popleft()
        if target.stopped():
            return batch.events[0]
        if not _drop_old(batch, rules, target):
            continue
        result = target.invoke(batch.events)
        if result.failed_from is None:
            pause = FIRST_PAUSE
            continue
        again = _again(batch, result, rules)
        if 0 <= rules.most_retries < again[0].retries:
            target.give_up(again[0].events, RETRIES_EXHAUSTED, result.error, again[0].retries)
            continue
        queue.extendleft(reversed(again))
        target.wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return None


def _drop_old(batch: _Batch, rules: Rules, target: Target) -> bool:
    """Gives up the records that are too old; false if none is left."""
    if rules.most_seconds < 0:
        return True
    oldest = target.now() - rules.most_seconds
    # A shard has its records in the order of their arrival.
    young = next((i for i, event in enumerate(batch.events) if arrived(event) >= oldest), len(batch.events))
    if young:
        target.give_up(batch.events[:young], TOO_OLD, {}, batch.retries)
        batch.events = batch.events[young:]
    return bool(batch.events)


def _again(batch: _Batch, result: Result, rules: Rules) -> list[_Batch]:
    """What of a failed batch comes again: one batch, or the two halves."""
    if not result.invoked:
        return [batch]
    if result.crashed:
        half = len(batch.events) // 2
        if rules.bisects and half:
            # Splitting a batch uses up no retry.
            return [_Batch(batch.events[:half], batch.retries), _Batch(batch.events[half:], batch.retries)]
        return [_Batch(batch.events, batch.retries + 1)]
    if result.failed_from:
        # The records before are done with, so this is a new batch, which begins at the failed record.
        return [_Batch(batch.events[result.failed_from :])]
    return [_Batch(batch.events, batch.retries + 1)]
