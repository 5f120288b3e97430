"""The rendezvous pattern in FastAPI: four models score every request, each in threads of its own; the most preferred one
that is ready in its time answers, else a stand-in, and at the deadline the fallback.

Challengers score, and nothing is kept of their scores.
"""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from estimator import COLUMNS, load
from flight import Flight, row
from hang import TIME_OUT, hangs
from schedule import FAILED, Schedule, Settled, decide

# Of one model in one process: enough for many calls that hang for their time at once.
THREADS = 16
SCHEDULE = Schedule.of(json.loads((Path(__file__).parent / "endpoints/flight-delay.json").read_text()))


class Score(BaseModel):
    delay_probability: float


class Answer(BaseModel):
    score: Score
    model: str | None
    kind: str
    elapsed_ms: float


class Model:
    """An estimator and its threads."""

    def __init__(self, name: str) -> None:
        self.id = f"{name}@1"
        self.probability = load(name)
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    def score(self, x: np.ndarray, deadline: float) -> Any:
        # A request that has waited for a thread for too long is of no use to anybody.
        if time.monotonic() > deadline:
            return FAILED
        if self.id == SCHEDULE.models[0] and hangs():
            time.sleep(TIME_OUT)
            return FAILED
        try:
            return self.probability(x)
        except Exception:
            return FAILED


app = FastAPI()
models = [Model(name) for name in COLUMNS]


def score_of(future: asyncio.Future) -> Any:
    return future.result() if future.done() else None


@app.post("/predict")
async def predict(flight: Flight) -> Answer:
    received = time.monotonic()
    x = row(flight)
    loop = asyncio.get_running_loop()
    deadline = received + SCHEDULE.deadline
    futures = {model.id: loop.run_in_executor(model.pool, model.score, x, deadline) for model in models}
    choices = [futures[model] for model in SCHEDULE.models]
    while True:
        elapsed = time.monotonic() - received
        verdict = decide(SCHEDULE, elapsed, [score_of(future) for future in choices])
        if isinstance(verdict, Settled):
            return answer(verdict.choice, choices, elapsed)
        await asyncio.wait(
            [choices[choice] for choice in verdict.choices],
            timeout=verdict.until - elapsed,
            return_when=asyncio.FIRST_COMPLETED,
        )


def answer(choice: int | None, futures: list[asyncio.Future], elapsed: float) -> Answer:
    elapsed_ms = elapsed * 1000
    if choice is None:
        return Answer(score=Score(**SCHEDULE.fallback), model=None, kind="fallback", elapsed_ms=elapsed_ms)
    score = Score(delay_probability=futures[choice].result())
    kind = "stand_in" if choice else "champion"
    return Answer(score=score, model=SCHEDULE.models[choice], kind=kind, elapsed_ms=elapsed_ms)
