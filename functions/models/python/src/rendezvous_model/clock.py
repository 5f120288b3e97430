"""Time. All other modules read it here, so that a test can replace it."""

import time


def now_us() -> int:
    """Microseconds since the epoch, UTC: what messages carry."""
    return time.time_ns() // 1_000


def monotonic() -> float:
    """Seconds from an arbitrary start, for limits and durations: the wall clock may be set."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    time.sleep(seconds)
