"""Runs LocalStack until standard input ends, that is, at the latest when whoever started it is gone."""

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from localstack.runtime.main import main
from localstack.utils.threads import TMP_THREADS

# How long a thread keeps the interpreter while another waits for it. Python's default of 5 ms adds up over the threads that
# a request passes.
SWITCH_SECONDS = 0.001

# How often the threads are forgotten that have ended, see `forget_ended_threads`.
FORGET_SECONDS = 10


def end_with_standard_input() -> None:
    """Ends this process and all that it has started: functions, which are frozen, and the server of DynamoDB, which is a
    process group of its own and would be started again."""
    # Not through sys.stdin, which may not be closed while it is read.
    while os.read(0, 4096):
        pass
    children = psutil.Process().children(recursive=True)
    parent = os.getpid()
    if os.fork() == 0:
        os.kill(parent, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        os._exit(0)


def forget_ended_threads() -> None:
    """LocalStack keeps each thread that it starts until it ends itself. From Python 3.13 on a thread
    that nobody has joined keeps its stack: after some 32,000 of them the process has as many mappings of memory as Linux allows
    (vm.max_map_count), and starts no thread any more."""
    while True:
        time.sleep(FORGET_SECONDS)
        for thread in list(TMP_THREADS):
            # Pools are among them.
            if isinstance(thread, threading.Thread) and thread.ident is not None and not thread.is_alive():
                thread.join()
                TMP_THREADS.remove(thread)


def keep_to_own_files() -> None:
    """Puts temporary files, the functions' code above all, under FILESYSTEM_ROOT.

    TMPDIR would do the same, but LocalStack once had a setting of that name, and warns."""
    folder = Path(os.environ["FILESYSTEM_ROOT"], "temporary")
    folder.mkdir(exist_ok=True)
    tempfile.tempdir = str(folder)


if __name__ == "__main__":
    keep_to_own_files()
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    threading.Thread(target=forget_ended_threads, daemon=True).start()
    sys.setswitchinterval(SWITCH_SECONDS)
    main()
