"""The rendezvous pattern in FastAPI: four models score every request, each in threads of its own; the most preferred one
that is ready in its time answers, else a stand-in, and at the deadline the fallback.

Challengers score, and nothing is kept of their scores.
"""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from flight import MODELS, Flight, row
from hang import TIME_OUT, hangs
from schedule import FAILED, Schedule, Settled, decide

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

    def __init__(self, name: str, probability: Callable[[np.ndarray], float]) -> None:
        self.id = f"{name}@1"
        self.probability = probability
        self.pool = ThreadPoolExecutor(thread_name_prefix=name)

    def score(self, x: np.ndarray, deadline: float) -> Any:
        # A request that has waited for a thread for too long is of no use to anybody.
        if time.monotonic() > deadline:
            return FAILED
        if self.id == SCHEDULE.models[0] and hangs():
            time.sleep(TIME_OUT)
            return FAILED
        try:
            return float(self.probability(x))
        except Exception:
            return FAILED


def load() -> list[Model]:
    logistic, timetable, gbt, rates = (
        joblib.load(MODELS / f"{name}.joblib") for name in ("logistic", "timetable", "gbt", "prior")
    )
    return [
        Model("logistic", lambda x: logistic.predict_proba(x)[0, 1]),
        # Without the weather.
        Model("timetable", lambda x: timetable.predict_proba(x[:, :6])[0, 1]),
        # By carrier and hour; row 0 is the unknown carrier, -1.
        Model("prior", lambda x: rates[int(x[0, 0]) + 1, int(x[0, 4])]),
        Model("gbt", lambda x: gbt.predict_proba(x)[0, 1]),
    ]


app = FastAPI()
models = load()


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
