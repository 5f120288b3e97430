"""Starts the server, runs a command on it, and ends both, also when standard input ends before."""

import os
import select
import subprocess
import sys
import time

from harness.paths import LOG, ROOT
from harness.processes import adopt_orphans, end_descendants, memory
from harness.server import Server

LOOK_SECONDS = 0.05
MEASURE_SECONDS = 2.0
# What a shell reports for a program that SIGTERM ended.
ENDED = 143


def supervise(command: list[str]) -> int:
    """Returns the command's exit status."""
    server = Server()
    try:
        started = server.wait_until_ready()
        print(f"LocalStack answers at {server.url} after {started:.1f} s, its log is {LOG}", flush=True)
        start = time.monotonic()
        status, most = _run(command, server)
        _report(time.monotonic() - start, most)
        return status
    finally:
        end_descendants()
        server.remove_files()


def _run(command: list[str], server: Server) -> tuple[int, dict[str, int]]:
    """The exit status, and the memory of the server's processes when they took most."""
    variables = {
        "AWS_ENDPOINT_URL": server.url,
        # For what stands between a function and its tables.
        "LOCALSTACK_TABLES": server.table_url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        # A request takes twice as long as on ministack, and on a slow machine some take 4 s.
        "DEPLOYED_AFTER_MS": os.environ.get("DEPLOYED_AFTER_MS", "8000"),
    }
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdin=subprocess.DEVNULL)
    most: dict[str, int] = {}
    measured = 0.0
    while (status := process.poll()) is None:
        if server.process.poll() is not None:
            print(f"LocalStack has ended, see {LOG}", file=sys.stderr, flush=True)
            return 1, most
        # Nothing is ever written there; it can be read when whoever started this is gone.
        if select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
            return ENDED, most
        if time.monotonic() > measured + MEASURE_SECONDS:
            measured = time.monotonic()
            most = max(most, memory(server.process.pid), key=lambda parts: sum(parts.values()))
    return status if status >= 0 else 128 - status, most


def _report(seconds: float, most: dict[str, int]) -> None:
    parts = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sorted(most.items()))
    total = sum(most.values()) / 1e6
    print(f"took {seconds:.0f} s; LocalStack and what it started had {total:.0f} MB at most: {parts}", flush=True)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    adopt_orphans()
    sys.exit(supervise(sys.argv[1:]))
