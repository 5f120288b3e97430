"""What the tests share."""

import contextlib
import io
import json
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from rendezvous_model import Handler, clock, model
from rendezvous_model.testing import Scores, event, record

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "infra/contract/examples"


def golden(name: str) -> str:
    return (EXAMPLES / f"{name}.json").read_text(encoding="utf-8")


def echo(payload: Any) -> Any:
    return payload


def handler(score: Callable[[Any], Any] | None = None, **options: Any) -> Handler:
    """The handler of m@1, for the endpoint e."""
    if score is not None:
        options["score"] = score
    return model("m@1", endpoints=["e"], **options)


class Bench(unittest.TestCase):
    """Runs handlers on batches, with a client that keeps what is put."""

    def setUp(self) -> None:
        self.scores = Scores()
        self.output = io.StringIO()
        environment = mock.patch.dict("os.environ", {}, clear=True)
        environment.start()
        self.addCleanup(environment.stop)

    def handle(self, handle: Handler, event: dict[str, Any]) -> list[str]:
        """The sequence numbers that the response names."""
        with contextlib.redirect_stdout(self.output):
            response = handle.using(self.scores)(event, None)
        self.assertEqual(list(response), ["batchItemFailures"])
        return [failure["itemIdentifier"] for failure in response["batchItemFailures"]]

    def sent(self, handle: Handler, *payloads: Any) -> list[Any]:
        """The scores for these payloads, and of failures the kind and message."""
        self.scores = Scores()
        self.assertEqual(self.handle(handle, event("e", *payloads)), [])
        return [answer(message) for message in self.scores.messages()]

    def metrics(self) -> dict[str, Any]:
        """The last line of metrics."""
        line: dict[str, Any] = json.loads(self.output.getvalue().splitlines()[-1])
        return line

    def logged(self) -> Any:
        return self.assertLogs("rendezvous_model", level="DEBUG")


def answer(message: dict[str, Any]) -> Any:
    if "score" in message:
        return message["score"]
    failure = message["failure"]
    return f"{failure['kind']}: {failure['message']}"


def one(text: str | bytes, sequence: str = "7") -> dict[str, Any]:
    """The event of a batch of one record, which holds this text."""
    data = text if isinstance(text, bytes) else text.encode()
    return {"Records": [record(data, sequence)]}


class Clock:
    """Time that only the test moves."""

    def __init__(self) -> None:
        self.start_us = clock.now_us()
        self.passed = 0.0
        self.pauses: list[float] = []

    def now_us(self) -> int:
        return self.start_us + round(self.passed * 1_000_000)

    def monotonic(self) -> float:
        return 1_000 + self.passed

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.passed += seconds


@contextlib.contextmanager
def stopped() -> Iterator[Clock]:
    """Within it time stands still unless the test moves it."""
    still = Clock()
    replaced = {name: getattr(still, name) for name in ("now_us", "monotonic", "sleep")}
    with mock.patch.multiple(clock, **replaced):
        yield still
