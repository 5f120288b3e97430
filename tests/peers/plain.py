"""One model in FastAPI, as its tutorial has it: a plain function, which FastAPI calls in a pool of threads."""

import time

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from estimator import load
from flight import Flight, row
from hang import TIME_OUT, hangs


class Answer(BaseModel):
    delay_probability: float


app = FastAPI()
probability = load("logistic")


@app.post("/predict")
def predict(flight: Flight) -> Answer:
    if hangs():
        time.sleep(TIME_OUT)
        raise HTTPException(504, "no score within the time-out")
    return Answer(delay_probability=probability(row(flight)))
