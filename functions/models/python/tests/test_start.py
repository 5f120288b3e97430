"""What is wrong in the arguments or in the environment fails the start, with a message that says what to do."""

import contextlib
import hashlib
import importlib.resources
import importlib.util
import logging
import os
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from rendezvous_model import Handler, model
from rendezvous_model.testing import invoke
from support import ROOT, Bench, echo, golden, handler, one

EXAMPLE = ROOT / "functions/models/python/examples/rule/handler.py"
LAMBDA = {
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",
    "STACK": "demo",
    "SCORES_STREAM": "scores",
    "AWS_REGION": "eu-west-1",
}


def example() -> Handler:
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handle = module.handle
    assert isinstance(handle, Handler)
    return handle


async def later(payload: Any) -> Any:
    return payload


def sha256(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class Artifact(Bench):
    def artifacts(self, score: Any = echo, **options: Any) -> list[Any]:
        """What a score and a failure say."""
        messages = invoke(handler(score, **options), 1, None)
        return [message.get("artifact") for message in messages]

    def test_without_one_every_score_and_failure_names_the_hash_of_the_functions_file(self) -> None:
        self.assertEqual(self.artifacts(), [sha256(ROOT / "functions/models/python/tests/support.py")] * 2)

    def test_a_path_stands_for_the_hash_of_its_file_and_a_text_for_itself(self) -> None:
        self.assertEqual(self.artifacts(artifact=EXAMPLE), [sha256(EXAMPLE)] * 2)
        self.assertEqual(self.artifacts(artifact="version:3"), ["version:3"] * 2)

    def test_a_function_without_a_file_has_no_artifact(self) -> None:
        self.assertEqual(self.artifacts(score=str), [None] * 2)

    def test_an_absent_file_fails_the_start(self) -> None:
        self.assertRaises(FileNotFoundError, handler, echo, artifact=EXAMPLE.with_name("absent"))


class Arguments(Bench):
    def test_wrong_arguments_are_named(self) -> None:
        good: dict[str, Any] = {"id": "m@1", "endpoints": ["e"], "score": echo}
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"id": "m"}, "name@version"),
            ({"id": "M@1"}, "name@version"),
            ({"id": "m@1\n"}, "name@version"),
            ({"endpoints": "fraud"}, "must be a list of names"),
            ({"endpoints": []}, "must be a list of names"),
            ({"endpoints": ["Fraud"]}, "a-z, 0-9 and '-'"),
            ({"score": None}, "either score or score_batch"),
            ({"score_batch": echo}, "either score or score_batch"),
            ({"score": later}, "not async"),
            ({"score": None, "score_batch": later}, "not async"),
            ({"largest_batch": 10}, "for score_batch"),
            ({"score": None, "score_batch": echo, "largest_batch": 0}, "largest_batch must be"),
            ({"artifact": "of mine"}, "artifact 'of mine' must be a path"),
            ({"artifact": 7}, "artifact 7 must be a path"),
            ({"timeout_ms": 0}, "timeout_ms must be"),
            ({"timeout_ms": 894_001}, "from 1 to 894000"),
            ({"timeout_ms": 0.5}, "timeout_ms must be"),
        ]
        for changes, words in wrong:
            arguments = good | changes
            with self.subTest(changes=changes), self.assertRaisesRegex(ValueError, words):
                model(arguments.pop("id"), **arguments)


class Environment(Bench):
    def test_a_handler_under_another_models_id_does_not_start(self) -> None:
        with mock.patch.dict("os.environ", MODEL="other@1"), self.assertRaises(ValueError) as raised:
            handler(echo)
        self.assertEqual(
            str(raised.exception),
            "the environment variable MODEL is other@1, but the handler's model is m@1: set the parameter Model of the stack "
            "to m@1, or deploy the handler of other@1",
        )
        with mock.patch.dict("os.environ", MODEL="m@1"):
            handler(echo)

    def test_a_time_out_that_does_not_fit_the_functions_is_refused_with_what_to_do(self) -> None:
        def refused(timeout_ms: int, function: str) -> str:
            with (
                mock.patch.dict("os.environ", FUNCTION_TIMEOUT_SECONDS=function),
                self.assertRaises(ValueError) as raised,
            ):
                handler(echo, timeout_ms=timeout_ms)
            return str(raised.exception)

        self.assertEqual(
            refused(29_000, "30"),
            "the time-out of model m@1 is 29000 ms, but its function ends after 30 s, the last 6 s of which are for sending "
            "scores: set timeout_ms to 24000 or less, or the function's time-out to 35 s or more",
        )
        self.assertTrue(refused(50, "5").endswith("for sending scores: set the function's time-out to 7 s or more"))
        self.assertIn("must be a whole number", refused(50, "5.5"))
        with mock.patch.dict("os.environ", FUNCTION_TIMEOUT_SECONDS="30"):
            handler(echo, timeout_ms=24_000)

    def test_on_lambda_a_variable_that_is_missing_is_named_at_the_cold_start(self) -> None:
        for name in ["STACK", "SCORES_STREAM"]:
            with (
                mock.patch.dict("os.environ", LAMBDA | {name: ""}),
                self.assertRaisesRegex(ValueError, f"{name} is not set"),
            ):
                handler(echo)

    def test_elsewhere_the_stream_is_needed_when_the_handler_is_called(self) -> None:
        with self.assertRaisesRegex(ValueError, "SCORES_STREAM is not set"):
            handler(echo)({"Records": []}, None)

    def test_one_client_serves_all_invocations_at_the_address_that_the_environment_names(self) -> None:
        address = "http://127.0.0.1:9"
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL_KINESIS": address}
        with mock.patch.dict("os.environ", LAMBDA | keys):
            handle = handler(echo)
            client: Any = handle._stream and handle._stream.client
            self.assertEqual(client.meta.endpoint_url, address)
            self.assertEqual(client.meta.config.retries["total_max_attempts"], 1)
            with contextlib.redirect_stdout(self.output):
                handle({"Records": []}, None)
            assert handle._stream is not None
            self.assertIs(handle._stream.client, client)

    def test_the_stack_is_the_dimension_of_the_metrics(self) -> None:
        with mock.patch.dict("os.environ", LAMBDA):
            self.handle(handler(echo), {"Records": []})
        self.assertEqual(self.metrics()["Stack"], "demo")

    def test_the_level_of_the_logs_is_that_of_the_template(self) -> None:
        for text, level in [
            ("error", logging.ERROR),
            ("warn", logging.WARNING),
            ("debug", logging.DEBUG),
            ("?", logging.INFO),
        ]:
            with mock.patch.dict("os.environ", LOG_LEVEL=text):
                handler(echo)
            self.assertEqual(logging.getLogger("rendezvous_model").level, level)
            self.assertEqual(logging.getLogger("botocore").level, logging.NOTSET)

    def test_the_import_does_not_need_boto3(self) -> None:
        code = "import sys, rendezvous_model, rendezvous_model.testing; sys.exit('boto3' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})


class Package(unittest.TestCase):
    def test_the_installed_package_says_that_it_is_typed(self) -> None:
        self.assertTrue(importlib.resources.files("rendezvous_model").joinpath("py.typed").is_file())


class Example(Bench):
    def test_the_example_scores_the_golden_request(self) -> None:
        with stopped_at_the_golden_request():
            self.assertEqual(self.handle(example(), one(golden("request"))), [])
        (message,) = self.scores.messages()
        self.assertEqual((message["model"], message["score"]), ("rule@1", {"delay_probability": 0.08}))

    def test_the_example_names_what_is_invalid(self) -> None:
        with contextlib.redirect_stdout(self.output):
            scores = invoke(example(), {"hour": 7, "weather": {"precip": 0.1}}, {"hour": 24}, {})
        self.assertEqual(scores[0]["score"], {"delay_probability": 0.26})
        invalid = {"kind": "invalid", "message": "/hour is not a whole number from 0 to 23"}
        self.assertEqual([message["failure"] for message in scores[1:]], [invalid, invalid])


def stopped_at_the_golden_request() -> Any:
    """A clock that shows the time at which the golden request was received."""
    return mock.patch("rendezvous_model.clock.now_us", return_value=1763794344123456)


if __name__ == "__main__":
    unittest.main()
