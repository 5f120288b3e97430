"""What is compared: how each server is started, asked and ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import install
from install import HERE, PLACE, ROOT

sys.path.insert(0, str(ROOT / "tests/aws/localstack"))

from harness.processes import end_descendants  # noqa: E402

# In the rounds in which the champion hangs.
HANG_ONE_IN = 10
# One process for each processor, as FastAPI's and MLServer's documentation say for several cores.
PROCESSES = len(os.sched_getaffinity(0))
# How long a server may take to start.
START = 120
# Without these, every process starts as many threads as there are processors for one row.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Start = Callable[[int, bool, Path], tuple[list[Any], dict[str, str]]]


@dataclass(frozen=True)
class Server:
    name: str
    # The virtual environment that it needs, if any.
    environment: str | None
    models: int
    path: str
    # One request a line.
    requests: str
    # The champion's probability in an answer.
    probability: Callable[[Any], float]
    # The command and its environment, for a port, with or without a champion that hangs, with a folder of its own.
    start: Start
    # What its log says once for each process that is ready, and how many there are.
    says: str = ""
    times: int = 0
    # It is ours: an answer has a kind, and the path is the load generator's own.
    ours: bool = False


def _environment(hang: bool) -> dict[str, str]:
    return ONE_THREAD | ({"HANG_ONE_IN": str(HANG_ONE_IN)} if hang else {})


def _mlserver(port: int, hang: bool, folder: Path) -> tuple[list[Any], dict[str, str]]:
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "metrics_dir": str(folder / "metrics"),
        "parallel_workers": PROCESSES,
    }
    model = {
        "name": "logistic",
        "implementation": "hanging.HangingModel" if hang else "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(PLACE / "models/logistic.joblib")},
    }
    (folder / "metrics").mkdir()
    (folder / "logistic").mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "logistic/model-settings.json").write_text(json.dumps(model))
    mlserver = install.python("mlserver").parent / "mlserver"
    return [mlserver, "start", folder], _environment(hang) | {"PYTHONPATH": str(HERE)}


def _ours(port: int, hang: bool, folder: Path) -> tuple[list[Any], dict[str, str]]:
    command = [install.local(), "serve", "--port", port, "--data", folder / "data", "--models", PLACE / "cards"]
    # Lanes, so that a call that hangs does not hold up the others: see infra/local/README.md.
    lanes = ["--shards", 8, "--parallelization-factor", "logistic@1=10"]
    hanging = ["--hang", f"logistic@1={HANG_ONE_IN}"] if hang else []
    return [*command, "--endpoints", HERE / "endpoints", *lanes, *hanging], {}


def _probability(answer: Any) -> float:
    return answer["delay_probability"]


def _probability_of_score(answer: Any) -> float:
    return answer["score"]["delay_probability"]


def _fastapi(name: str, module: str, onnx: bool) -> Server:
    def start(port: int, hang: bool, folder: Path) -> tuple[list[Any], dict[str, str]]:
        command = [install.python("fastapi"), "-m", "uvicorn", f"{module}:app", "--app-dir", HERE, "--port", port]
        more = {"PEERS_ONNX": "1"} if onnx else {}
        return [*command, "--workers", PROCESSES, "--no-access-log"], _environment(hang) | more

    pattern = module == "pattern"
    models = len(install.MODELS) if pattern else 1
    probability = _probability_of_score if pattern else _probability
    ready = "Application startup complete."
    return Server(name, "fastapi", models, "/predict", "flights.ndjson", probability, start, ready, PROCESSES)


SERVERS = {
    "fastapi": _fastapi("FastAPI", "plain", onnx=False),
    "fastapi-onnx": _fastapi("FastAPI, ONNX", "plain", onnx=True),
    "mlserver": Server(
        "MLServer",
        "mlserver",
        1,
        "/v2/models/logistic/infer",
        "tensors.ndjson",
        lambda answer: answer["outputs"][0]["data"][1],
        _mlserver,
    ),
    "pattern": _fastapi("the pattern in FastAPI", "pattern", onnx=False),
    "pattern-onnx": _fastapi("the pattern in FastAPI, ONNX", "pattern", onnx=True),
    "rendezvous": Server(
        "rendezvous",
        None,
        len(install.MODELS),
        "/v1/endpoints/flight-delay/requests",
        "flights.ndjson",
        _probability_of_score,
        _ours,
        ours=True,
    ),
}


@dataclass(frozen=True)
class Running:
    server: Server
    port: int
    pid: int


class NotReady(Exception):
    """A server that did not start, with the end of its log."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(key: str, hang: bool) -> Iterator[Running]:
    """A server that is ready. Nothing of it is left afterwards."""
    server, port = SERVERS[key], free_port()
    log = PLACE / f"{key}.log"
    with TemporaryDirectory(dir=PLACE) as folder, log.open("w") as out:
        command, more = server.start(port, hang, Path(folder))
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=os.environ | more,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(server, port, process, log)
            yield Running(server, port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            end_descendants()


def _wait(server: Server, port: int, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + START
    request = first_requests(server, 1)[0]
    while time.monotonic() < until and process.poll() is None:
        if log.read_text(errors="replace").count(server.says) >= server.times:
            # One of the first requests may hang, too.
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(server, port, request)[0] == 200:
                    return
        time.sleep(0.1)
    end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise NotReady(f"{server.name} did not start:\n{end}")


def first_requests(server: Server, count: int) -> list[str]:
    with (PLACE / server.requests).open() as lines:
        return [next(lines).rstrip("\n") for _ in range(count)]


def ask(server: Server, port: int, request: str) -> tuple[int, str]:
    """Status and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", server.path, request, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
