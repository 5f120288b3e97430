"""Puts the same load on a server: one connection, many, and half of what it can do."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import install
from install import PLACE
from servers import Running, ask, first_requests

# Of these the answers are compared with scikit-learn's own.
CHECKED = 50
TRIES = 5
# A closed loop with one connection, and one that finds the most that a server can do.
ONE, MANY = 1, 32
# An open loop has enough of them for a request to be sent when it is due, though others hang.
OPEN = 300


class WrongAnswer(Exception):
    """A server that does not compute what the others do."""


def check(running: Running) -> None:
    """Every server answers with the champion's probability."""
    server = running.server
    expected = json.loads((PLACE / "expected.json").read_text())
    for request, probability in zip(first_requests(server, CHECKED), expected):
        # On a busy machine a stand-in may have been first.
        for _ in range(TRIES):
            status, body = ask(server, running.port, request)
            if status == 200 and abs(server.probability(json.loads(body)) - probability) < 1e-4:
                break
        else:
            raise WrongAnswer(f"{server.name}: {status}, {body} instead of {probability} for {request}")


def measure(running: Running, seconds: int, half: int | None) -> dict[str, Any]:
    """The figures of each load. `half` is the rate of the open loop; without it, half of the most that was found."""
    one = _bench(running, seconds, ONE)
    many = _bench(running, seconds, MANY)
    half = half or max(1, round(many["requests_per_second"] / 2))
    return {"one": one, "many": many, "half": _bench(running, seconds, OPEN, half)}


def _bench(running: Running, seconds: int, connections: int, rate: int | None = None) -> dict[str, Any]:
    server = running.server
    command = [install.local(), "bench", "--address", f"127.0.0.1:{running.port}", "--pid", running.pid]
    command += ["--payload", PLACE / server.requests, "--seconds", seconds, "--connections", connections]
    command += [] if server.ours else ["--path", server.path]
    command += [] if rate is None else ["--rate", rate]
    # It fails when a request had no answer, which is one of the figures here.
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"{server.name}: {done.stderr}") from None
