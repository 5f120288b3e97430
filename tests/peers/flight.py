"""A flight as a request of FastAPI, and as the row that the estimators take."""

import json
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

ROOT = Path(__file__).resolve().parents[2]
FLIGHTS = ROOT / "functions/models/flights"
# What prepare.py has trained.
MODELS = ROOT / "target/peers/models"

_CARD = json.loads((FLIGHTS / "logistic.json").read_text())
_INPUTS = {column["field"]: column for column in _CARD["inputs"]}


def _places(field: str) -> dict[str, int]:
    return {value: place for place, value in enumerate(_INPUTS[field]["categories"])}


def _usual(name: str) -> float:
    return _INPUTS[f"/weather/{name}"]["impute"]


_CARRIERS, _ORIGINS, _DESTS = _places("/carrier"), _places("/origin"), _places("/dest")


class Weather(BaseModel):
    temp: float = _usual("temp")
    wind_speed: float = _usual("wind_speed")
    precip: float = _usual("precip")
    visib: float = _usual("visib")
    pressure: float = _usual("pressure")


class Flight(BaseModel):
    carrier: str
    origin: str
    dest: str
    weekday: int = Field(ge=0, le=6)
    hour: int = Field(ge=0, le=23)
    distance: float
    weather: Weather | None = None


def row(flight: Flight) -> np.ndarray:
    """The columns of the card, in its order."""
    weather = flight.weather or Weather()
    values = [
        _CARRIERS.get(flight.carrier, -1),
        _ORIGINS.get(flight.origin, -1),
        _DESTS.get(flight.dest, -1),
        flight.weekday,
        flight.hour,
        flight.distance,
        weather.temp,
        weather.wind_speed,
        weather.precip,
        weather.visib,
        weather.pressure,
    ]
    return np.array([values], np.float32)
