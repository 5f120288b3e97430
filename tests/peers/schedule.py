"""Whose score answers, and from when: `Schedule::decide` of shared/core for the servers in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# In the place of a score that has failed.
FAILED = object()


@dataclass(frozen=True)
class Schedule:
    models: tuple[str, ...]
    # Seconds after the request was received.
    opens: tuple[float, ...]
    deadline: float
    fallback: Any

    @classmethod
    def of(cls, configuration: dict[str, Any]) -> Schedule:
        """That of an endpoint's configuration."""
        schedule = configuration["schedule"]
        choices = schedule["choices"]
        return cls(
            tuple(choice["model"] for choice in choices),
            tuple(choice.get("after_ms", 0) / 1000 for choice in choices),
            schedule["deadline_ms"] / 1000,
            schedule["fallback"],
        )


@dataclass(frozen=True)
class Settled:
    """The answer is the score of this choice, or the fallback."""

    choice: int | None


@dataclass(frozen=True)
class Waiting:
    """Until one of the open choices has a score or a failure, but no longer than this."""

    choices: tuple[int, ...]
    until: float


def decide(schedule: Schedule, elapsed: float, scores: Sequence[Any]) -> Settled | Waiting:
    """`scores` has one entry a choice: a score, FAILED, or None for one that has sent nothing."""
    over = elapsed >= schedule.deadline
    failed_before = True
    waiting = []
    for choice, (opens, score) in enumerate(zip(schedule.opens, scores)):
        if over or opens <= elapsed or failed_before:
            if score is None:
                waiting.append(choice)
            elif score is not FAILED:
                return Settled(choice)
        failed_before = failed_before and score is FAILED
    if over or failed_before:
        return Settled(None)
    later = [opens for opens in schedule.opens if opens > elapsed]
    return Waiting(tuple(waiting), min([*later, schedule.deadline]))
