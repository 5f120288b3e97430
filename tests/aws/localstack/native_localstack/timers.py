"""Timers that share a thread: LocalStack starts a timer after each invocation, and `threading.Timer` is a thread."""

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

LOOK_SECONDS = 1.0


class Timer:
    """Calls a function once, up to `LOOK_SECONDS` later than asked for. As `threading.Timer`, as far as LocalStack uses it."""

    # When those are due that have been started, by the monotonic clock.
    _started: ClassVar[dict["Timer", float]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _looks: ClassVar[bool] = False

    def __init__(self, interval: float, function: Callable[..., Any], args: Any = (), kwargs: Any = None) -> None:
        self.interval = interval
        self._call = lambda: function(*args, **(kwargs or {}))

    def start(self) -> None:
        """Begins to wait."""
        with Timer._lock:
            Timer._started[self] = time.monotonic() + self.interval
            if not Timer._looks:
                Timer._looks = True
                threading.Thread(target=_look, daemon=True).start()

    def cancel(self) -> None:
        """Does not call the function, unless it has been called."""
        with Timer._lock:
            Timer._started.pop(self, None)

    @classmethod
    def call_due(cls, now: float) -> None:
        """Calls what is due, each in a thread of its own."""
        with cls._lock:
            due = [timer for timer, at in cls._started.items() if at <= now]
            for timer in due:
                del cls._started[timer]
        for timer in due:
            threading.Thread(target=timer._call, daemon=True).start()


def _look() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        Timer.call_due(time.monotonic())
