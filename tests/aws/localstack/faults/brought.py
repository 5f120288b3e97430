"""Models of a team's own: their stacks are deployed, step up and are deleted while requests flow. And a client of others."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from faults.build import build_model
from faults.proxy import Proxy
from faults.stack import ENDPOINT, Reply, Stack, eventually, must
from harness.paths import INSTALLED, ROOT

SCHEDULE = ("logistic@1", "timetable@1", "prior@1")
PYTHON = ROOT / "functions/models/python"
CLIENTS = 2
DEADLINE_MS = 20_000
STORED = "timetable@3"
# The tests of tritonclient that need no answer within milliseconds.
TRITON = (
    "test_server_and_model_are_live_ready_and_described",
    "test_rows_get_the_answers_of_version_1",
    "test_without_outputs_all_come_as_json",
    "test_binary_inputs_are_refused_with_what_to_do",
    "test_mistakes_are_named",
    "test_the_asynchronous_client_is_answered_as_well",
)


class ModelServer(BaseHTTPRequestHandler):
    """A model behind the Open Inference Protocol: the later in the day, the later the flight."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        (hours,) = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        data = [hour / 24 for hour in hours["data"]]
        output = {"name": "late", "datatype": "FP64", "shape": [len(data), 1], "data": data}
        body = json.dumps({"model_name": "hours", "outputs": [output]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def brought(stack: Stack, _proxy: Proxy) -> str:
    """A Python function, a model on another server, an ONNX file in S3 and a panel, each in a stack of its own."""
    stack.configure(*SCHEDULE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), ModelServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    took: dict[str, float] = {}
    with asked(stack) as replies:
        for name, parameters, models in _stacks(stack, server.server_port):
            start = time.monotonic()
            stack.deploy_model(name, INSTALLED / f"sam-{name}", **parameters)
            for model in models:
                stack.configure(model, *SCHEDULE)
                eventually(f"{model} answers", lambda model=model: replies[-1].by == f"{model} preferred", seconds=90)
            took[name] = time.monotonic() - start
        _listed(stack)
        stack.configure(*SCHEDULE)
        eventually("the former champion answers again", lambda: replies[-1].by == "logistic@1 preferred")
        begun = len(replies)
        for name in took:
            stack.delete_model(name)
        # The deletion itself disturbs nobody.
        eventually("requests are answered after the deletion", lambda: len(replies) > begun + 2 * CLIENTS)
    server.shutdown()
    _all_in_time(replies)
    others = {reply.by for reply in replies[begun:]} - {"logistic@1 preferred"}
    must(not others, f"while stacks were deleted, requests were answered by {others}")
    counted = Counter(reply.body["model"] for reply in replies)
    listed = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())
    return (
        f"from `sam deploy` to being champion: {listed}; {len(replies)} requests meanwhile, all answered in time: "
        f"{dict(counted)}; {len(replies) - begun} of them while the stacks were deleted"
    )


def _stacks(stack: Stack, port: int) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Makes the packages; yields a name, the template's parameters and the models of each stack."""
    package = INSTALLED / "rule"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(PYTHON / "examples/rule", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PYTHON / "src/rendezvous_model", package / "rendezvous_model")
    # A busy machine may not give a process 50 ms of its time at once.
    handler = package / "handler.py"
    handler.write_text(handler.read_text().replace("timeout_ms=50", "timeout_ms=5000"))
    build_model(stack.binaries, INSTALLED / "sam-rule", MODEL_PACKAGE=str(package))
    yield "rule", {"Model": "rule@1", "Runtime": "python3.13", "Handler": "handler.handle"}, ["rule@1"]

    built = build_model(stack.binaries, INSTALLED / "sam-remote", MODEL_BINARY="remote-model")
    (built / "remote.json").write_text(json.dumps(_remote_card(port)))
    yield "remote", {"Model": "remote@1", "Card": "remote.json"}, ["remote@1"]

    built = build_model(stack.binaries, INSTALLED / "sam-stored")
    _renamed(built / "flights/timetable.json", "timetable@1", STORED)
    bucket, key = f"{stack.name}-models", "timetable/3/model.onnx"
    stack.s3.create_bucket(Bucket=bucket)
    # The package has the card alone.
    onnx = built / "flights/timetable.onnx"
    stack.s3.put_object(Bucket=bucket, Key=key, Body=onnx.read_bytes())
    onnx.unlink()
    card = {"Model": STORED, "Card": "flights/timetable.json", "OnnxFile": f"s3://{bucket}/{key}"}
    yield "stored", card, [STORED]

    built = build_model(stack.binaries, INSTALLED / "sam-panel")
    for model in ("timetable", "prior"):
        _renamed(built / f"flights/{model}.json", f"{model}@1", f"{model}@2")
    cards = "flights/timetable.json,flights/prior.json"
    models = ["timetable@2", "prior@2"]
    yield "panel", {"Model": "panel@1", "PanelModels": ",".join(models), "Card": cards}, models


def _renamed(card: Path, model: str, name: str) -> None:
    """Gives the model of a card another name."""
    card.write_text(card.read_text().replace(f'"{model}"', f'"{name}"'))


def _listed(stack: Stack) -> None:
    """`rendezvousctl models` tells each stack's function with its package, and from what each model scores."""
    functions = stack.ctl("models", ENDPOINT)["functions"]
    for model in ("rule@1", "remote@1", STORED, "timetable@2", "prior@2"):
        function = functions[model]
        must(
            function["package"] and function["mapping"] == "Enabled", f"{model} has no package or is not up: {function}"
        )

    def same() -> bool:
        listed = stack.ctl("models", ENDPOINT)["models"]
        used = {row["model"]: [each["artifact"] for each in row["artifacts"]] for row in listed}
        return len(used[STORED]) == 1 and used[STORED] == used["timetable@2"] and bool(used["rule@1"])

    eventually("the file from S3 and the one from a package have one hash in the archive", same)


def _remote_card(port: int) -> dict[str, object]:
    def one(name: str, field: str, datatype: str) -> list[dict[str, object]]:
        return [{"name": name, "datatype": datatype, "shape": [-1, 1], "field": field}]

    return {
        "model": "remote@1",
        "about": "The hour of the day, on another server.",
        "engine": "remote",
        "endpoints": [ENDPOINT],
        "url": f"http://127.0.0.1:{port}/v2/models/hours",
        "tensors": {"inputs": one("hour", "/hour", "INT64"), "outputs": one("late", "/delay_probability", "FP64")},
        "timeout_ms": 5000,
    }


@contextmanager
def asked(stack: Stack) -> Iterator[list[Reply]]:
    """Some clients ask one request after the other until the end, and each is answered."""
    replies: list[Reply] = [stack.ask(deadline_ms=DEADLINE_MS)]
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            replies.append(stack.ask(deadline_ms=DEADLINE_MS))

    asking = [stack.pool.submit(ask) for _ in range(CLIENTS)]
    try:
        yield replies
    finally:
        end.set()
        for client in asking:
            client.result()


def _all_in_time(replies: list[Reply]) -> None:
    wrong = [
        reply.by
        for reply in replies
        if not reply.body["settled"]
        or reply.body["kind"] in ("fallback", "none")
        or reply.body["elapsed_ms"] > DEADLINE_MS
    ]
    must(
        not wrong,
        f"{len(wrong)} of {len(replies)} requests are late, not settled, or answered by no model: {wrong[:5]}",
    )


def inferred(stack: Stack, _proxy: Proxy) -> str:
    """tritonclient, unchanged, against the deployed template."""
    configuration = json.loads((ROOT / "infra/local/endpoints/flight-delay.json").read_text())
    schedule = configuration["schedule"]
    schedule["deadline_ms"] = 25_000
    for index, choice in enumerate(schedule["choices"]):
        choice["after_ms"] = 6_000 * index
    stack.publish(configuration)
    url = f"{stack.url}/_aws/execute-api/{stack.outputs['ApiId']}/$default"
    clients = ROOT / "tests/clients"
    installed = [sys.executable, clients / "run", "--only", "triton", "--install"]
    without_path = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(installed, env=without_path, check=True, capture_output=True)
    python: Path = ROOT / "target/clients/triton/bin/python"
    command = [python, "with_triton.py", url, *(f"Triton.{test}" for test in TRITON)]
    done = subprocess.run(command, cwd=clients, env=without_path, capture_output=True, text=True, check=False)
    must(done.returncode == 0, f"tritonclient fails:\n{done.stderr[-3000:]}")
    stack.configure(*SCHEDULE)
    return f"{len(TRITON)} of tritonclient's tests pass"
