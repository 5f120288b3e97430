"""How much time the package adds to a request, in microseconds of one core.

    PYTHONPATH=functions/models/python/src python3 functions/models/python/tests/bench.py

The model returns a constant, and the client of Kinesis takes everything at once: what is left is the package. The payload
is that of the golden request, in batches of 100. A shared machine disturbs single runs, so that the best of many counts.
"""

import contextlib
import io
import json
import time
from collections.abc import Callable
from typing import Any

from rendezvous_model import Handler, model
from rendezvous_model.testing import Scores, event
from support import golden

BATCH = 100
RUNS = 200


def best(function: Callable[[], Any]) -> float:
    """The processor time of the quickest call, in microseconds a request."""
    times = []
    for _ in range(RUNS):
        start = time.process_time_ns()
        function()
        times.append(time.process_time_ns() - start)
    return min(times) / 1_000 / BATCH


def added(handle: Handler) -> float:
    payload = json.loads(golden("request"))["payload"]
    batch = event("e", *[payload] * BATCH, within_ms=600_000)
    handle = handle.using(Scores())
    with contextlib.redirect_stdout(io.StringIO()):
        return best(lambda: handle(batch, None))


def main() -> None:
    score = {"probability": 0.25}
    one = model("m@1", endpoints=["e"], score=lambda _payload: score)
    batches = model("m@1", endpoints=["e"], score_batch=lambda payloads: [score] * len(payloads))
    print(f"score:       {added(one):5.1f} us a request")
    print(f"score_batch: {added(batches):5.1f} us a request")


if __name__ == "__main__":
    main()
