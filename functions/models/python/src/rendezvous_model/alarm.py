"""Ends a Python function that takes too long.

This works in the main thread, where Lambda calls the handler, on systems with SIGALRM. Python raises the exception between
two of its own instructions, so that a call into C, for example a long matrix product, ends first. In another thread, and on
Windows, a function is never interrupted.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


class TimedOut(BaseException):
    """The function took too long. No `Exception`, so that `except Exception` in a model does not catch it."""


def call(seconds: float, function: Callable[[], T]) -> T:
    """Calls `function`. Raises `TimedOut` in it after so many seconds, where it can be interrupted."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return function()
    former = signal.signal(signal.SIGALRM, _ring)
    try:
        # Zero would switch the timer off.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
        try:
            return function()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        # None: the handler that was there is not Python's, and cannot be set again.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if former is None else former)


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise TimedOut
