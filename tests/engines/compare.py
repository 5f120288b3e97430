"""The comparison: all engines score the same rows, and the archive says what they scored."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import install
import pyarrow.parquet as parquet
from models import ENDPOINT, train

MODELS = ("onnx@1", "function@1", "remote@1")
CLIENTS = 8
START_SECONDS = 90


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares the engines.")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--torch", action="store_true", help="do the recipe of PyTorch, too: installs it, some gigabytes")
    parser.add_argument("--node", action="store_true", help="do the recipe of JavaScript, too: compiles for some minutes")
    options = parser.parse_args()
    if "RENDEZVOUS_LOCAL" not in os.environ:
        # With a test beside it, the binary has the features that tests have, and what `cargo test` has compiled is used.
        build = ["cargo", "build", "--quiet", "--locked", "--workspace", "--bin", "rendezvous-local", "--test", "protocol"]
        subprocess.run(build, cwd=install.ROOT, check=True)
    with TemporaryDirectory(dir=install.TARGET) as place, contextlib.ExitStack() as stack:
        folder, start = Path(place), time.monotonic()
        (folder / "models").mkdir()
        port = free_port()
        payloads, expected = train(folder / "models", options.rows, f"http://127.0.0.1:{port}")
        (folder / "endpoints").mkdir()
        endpoint = {
            "schedule": {"choices": [{"model": MODELS[0]}], "deadline_ms": 5000},
            "observers": [{"model": model, "role": "challenger"} for model in MODELS[1:]],
            "value": "/benign",
        }
        (folder / "endpoints" / f"{ENDPOINT}.json").write_text(json.dumps(endpoint))
        stack.enter_context(mlserver(folder, port))
        address = stack.enter_context(serve(folder))
        for _ in range(100):
            # The processes have started when each model has scored a request.
            ask(address, payloads[0])
            if set(MODELS) <= set(scores(folder / "data")):
                break
            time.sleep(0.5)
        print(f"{time.monotonic() - start:.0f} s from a trained pipeline to scores of all engines", flush=True)
        with ThreadPoolExecutor(CLIENTS) as pool:
            answered = list(pool.map(lambda payload: ask(address, payload), payloads))
        stack.close()
        return report(answered, expected, scores(folder / "data"))


def report(answered: list[str], expected: list[float], scored: dict[str, dict[str, Any]]) -> int:
    """Prints a line for each model; returns 1 if one of them has not scored a row, or otherwise than scikit-learn."""
    wrong = 0
    for model in MODELS:
        rows = [(scored.get(model, {}).get(request), probability) for request, probability in zip(answered, expected, strict=True)]
        good = [(row["score"]["benign"], row["ms"], probability) for row, probability in rows if row and row["score"]]
        difference = max((abs(value - probability) for value, _, probability in good), default=float("inf"))
        took = median([ms for _, ms, _ in good] or [0.0])
        wrong += len(good) < len(rows) or difference > 1e-5
        print(f"{model}: {len(good)} of {len(rows)} rows, largest difference {difference:.1e}, median {took:.2f} ms a call")
    return min(wrong, 1)


def scores(data: Path) -> dict[str, dict[str, Any]]:
    """Of each model and request: the score, or none, and how long the call took, from the archive."""
    found: dict[str, dict[str, Any]] = {}
    for file in (data / "archive/scores").rglob("*.parquet"):
        for row in parquet.read_table(file, partitioning=None).to_pylist():
            score = json.loads(row["score"]) if row["score"] else None
            ms = (row["finished_us"] - row["started_us"]) / 1000
            found.setdefault(row["model"], {})[row["request_id"]] = {"score": score, "ms": ms}
    return found


def ask(address: str, payload: dict[str, Any], endpoint: str = ENDPOINT) -> str:
    """Sends a request; returns its id."""
    connection = http.client.HTTPConnection(address, timeout=30)
    body = json.dumps(payload)
    connection.request("POST", f"/v1/endpoints/{endpoint}/requests", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["request"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def process(command: list[Any], log: Path, environment: dict[str, str], **settings: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process in a session of its own, which is ended with all that it has started."""
    with log.open("w") as output:
        started = subprocess.Popen(
            [str(part) for part in command], stderr=output, env=os.environ | environment, start_new_session=True, **settings
        )
    try:
        yield started
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


@contextlib.contextmanager
def mlserver(folder: Path, port: int, name: str = "pipeline") -> Iterator[None]:
    """MLServer with the pipeline in this folder, under this name."""
    place = folder / "mlserver"
    place.mkdir()
    settings = {"debug": False, "host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    (place / "settings.json").write_text(json.dumps(settings | {"parallel_workers": 0}))
    model = {
        "name": name,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(folder / "models/pipeline.joblib")},
    }
    (place / "model-settings.json").write_text(json.dumps(model))
    command = [install.python("mlserver").parent / "mlserver", "start", place]
    with process(command, folder / "mlserver.log", {}, stdout=subprocess.DEVNULL):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
                connection.request("GET", f"/v2/models/{name}/ready")
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.2)
        else:
            sys.exit(f"MLServer did not start:\n{(folder / 'mlserver.log').read_text()[-2000:]}")
        yield


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serves the models and the endpoints in this folder."""
    endpoints = folder / "endpoints"
    program = os.environ.get("RENDEZVOUS_LOCAL", install.TARGET / "debug/rendezvous-local")
    options = ["--data", folder / "data", "--models", folder / "models", "--endpoints", endpoints]
    with process([program, "serve", "--port", "0", *options], folder / "serve.log", {}, stdout=subprocess.PIPE) as server:
        yield server.stdout.readline().decode().strip().removeprefix("http://")
    print((folder / "serve.log").read_text(), end="")
