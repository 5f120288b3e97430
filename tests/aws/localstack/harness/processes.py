"""Processes of Linux, and the end of all that were started here."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the parent of all descendants whose own parent ends, so that none is out of reach."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(pid: int) -> list[int]:
    """All processes below a process that have not been reaped."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent …; the name may hold anything.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def end_descendants() -> None:
    """Kills all that this process has started, and all that those have started, until nothing is left."""
    while left := descendants(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        time.sleep(0.01)


def memory(pid: int) -> dict[str, int]:
    """The resident bytes of a process and of all below it, by the names of their programs."""
    result: dict[str, int] = {}
    for each in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{each}/comm").read_text().strip()
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            result[name] = result.get(name, 0) + pages * os.sysconf("SC_PAGE_SIZE")
    return result
