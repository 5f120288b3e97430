"""The example as a process, between a Runtime API and a Kinesis on loopback.

As Lambda starts it, with awslambdaric, and with the loop of this package.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rendezvous_model.testing import event
from runtime_api import Api, Kinesis, served
from support import ROOT

PACKAGE = ROOT / "functions/models/python"
# What the template sets, and what Lambda itself sets.
VARIABLES = {
    "STACK": "demo",
    "SCORES_STREAM": "scores",
    "MODEL": "rule@1",
    "LOG_LEVEL": "info",
    "FUNCTION_TIMEOUT_SECONDS": "30",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}


class Function:
    """The process, and the servers that it calls."""

    def __init__(self, process: "subprocess.Popen[str]", api: Api, kinesis: Kinesis) -> None:
        self.process = process
        self.api = api
        self.kinesis = kinesis

    def output(self) -> str:
        """What it has printed, when it has ended."""
        self.process.terminate()
        return self.process.communicate(timeout=10)[0]


@contextlib.contextmanager
def function(loop: str, folder: Path, **variables: str) -> Iterator[Function]:
    api, kinesis = Api(), Kinesis()
    with served(api) as api_address, served(kinesis) as kinesis_address:
        environment = VARIABLES | {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "AWS_LAMBDA_RUNTIME_API": api_address,
            "AWS_ENDPOINT_URL_KINESIS": f"http://{kinesis_address}",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", loop, "handler.handle"],
            cwd=folder,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Function(process, api, kinesis)
        finally:
            process.kill()
            process.communicate()


class WithAwslambdaric(unittest.TestCase):
    loop = "awslambdaric"

    def test_the_example_scores_batches(self) -> None:
        with function(self.loop, PACKAGE / "examples/rule") as running:
            for _ in range(2):
                path, response = running.api.invoke(event("flight-delay", {"hour": 7}, {"hour": "secret"}, [1]))
                self.assertEqual(path, "/invocation/invocation-1/response")
                self.assertEqual(response, {"batchItemFailures": []})
            messages = running.kinesis.messages()
            output = running.output()
        self.assertEqual({put["StreamName"] for put in running.kinesis.puts}, {"scores"})
        self.assertEqual([message["model"] for message in messages], ["rule@1"] * 6)
        self.assertEqual([m["score"] for m in messages if "score" in m], [{"delay_probability": 0.11}] * 2)
        kinds = [message["failure"]["kind"] for message in messages if "failure" in message]
        self.assertEqual(kinds, ["invalid", "failed"] * 2)
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        self.assertEqual([(line["Stack"], line["Scored"]) for line in lines], [("demo", 1), ("demo", 1)])
        self.assertIn("[ERROR]", output)
        self.assertIn("the model raised AttributeError at ", output)
        self.assertNotIn("secret", output)

    def test_a_handler_that_does_not_fit_its_environment_fails_the_cold_start(self) -> None:
        with function(self.loop, PACKAGE / "examples/rule", MODEL="other@1") as running:
            path, error = running.api.posts.get(timeout=30)
            running.process.wait(timeout=10)
            output = running.output()
        self.assertEqual(path, "/init/error")
        message = "the environment variable MODEL is other@1, but the handler's model is rule@1"
        for text in [json.dumps(error), output]:
            self.assertIn(message, text)

    def test_a_model_that_hangs_or_exits_is_a_failure_and_the_function_goes_on(self) -> None:
        source = (
            "import sys, time\n"
            "from rendezvous_model import model\n"
            "def score(payload):\n"
            "    if payload == 'hang': time.sleep(60)\n"
            "    if payload == 'exit': sys.exit(3)\n"
            "    return payload\n"
            "handle = model('rule@1', endpoints=['e'], score=score, timeout_ms=50)\n"
        )
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "handler.py").write_text(source, encoding="utf-8")
            with function(self.loop, Path(folder)) as running:
                _, response = running.api.invoke(event("e", "hang", "exit", 1))
                messages = running.kinesis.messages()
        self.assertEqual(response, {"batchItemFailures": []})
        answers: list[Any] = [message.get("failure", {}).get("message") for message in messages]
        self.assertEqual(answers, ["no score within 50 ms", "the model raised SystemExit", None])


class WithTheLoopOfThePackage(WithAwslambdaric):
    loop = "rendezvous_model"

    def test_an_invocation_that_fails_is_reported_by_its_type_and_the_next_one_is_served(self) -> None:
        with function(self.loop, PACKAGE / "examples/rule") as running:
            path, error = running.api.invoke({"secret": "secret"})
            self.assertEqual((path, error["errorType"]), ("/invocation/invocation-1/error", "ValueError"))
            path, _ = running.api.invoke(event("flight-delay", {"hour": 7}))
            self.assertEqual(path, "/invocation/invocation-1/response")
            output = running.output()
        self.assertIn("invocation invocation-1 failed: ValueError", output)
        self.assertNotIn("secret", output + json.dumps(error))

    def test_a_handler_that_is_not_there_fails_the_cold_start(self) -> None:
        with tempfile.TemporaryDirectory() as folder, function(self.loop, Path(folder)) as running:
            path, error = running.api.posts.get(timeout=30)
            self.assertEqual((path, error["errorType"]), ("/init/error", "ModuleNotFoundError"))
            self.assertEqual(running.process.wait(timeout=10), 1)


if __name__ == "__main__":
    unittest.main()
