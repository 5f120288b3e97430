"""What the clients send, and what the answers must be."""

import json
import urllib.request

ENDPOINT = "flight-delay"

FLIGHTS = [
    {
        "carrier": "UA", "origin": "EWR", "dest": "IAH", "weekday": 1, "hour": 5, "distance": 1400,
        "weather": {"temp": 39.02, "wind_speed": 12.65858, "precip": 0.0, "visib": 10.0, "pressure": 1011.9},
    },
    {
        "carrier": "AA", "origin": "JFK", "dest": "MIA", "weekday": 1, "hour": 5, "distance": 1089,
        "weather": {"temp": 39.02, "wind_speed": 14.96014, "precip": 0.0, "visib": 10.0, "pressure": 1012.1},
    },
    {
        "carrier": "B6", "origin": "JFK", "dest": "BOS", "weekday": 4, "hour": 19, "distance": 187,
        "weather": {"temp": 84.5, "wind_speed": 20.1, "precip": 0.4, "visib": 2.5, "pressure": 1002.0},
    },
]  # fmt: skip

# Each tensor of the endpoint with its datatype and, for each flight, its row.
TENSORS = {
    "carrier": ("BYTES", lambda flight: [flight["carrier"]]),
    "origin": ("BYTES", lambda flight: [flight["origin"]]),
    "dest": ("BYTES", lambda flight: [flight["dest"]]),
    "weekday": ("INT64", lambda flight: [flight["weekday"]]),
    "hour": ("INT64", lambda flight: [flight["hour"]]),
    "distance": ("FP64", lambda flight: [flight["distance"]]),
    "weather": ("FP64", lambda flight: list(flight["weather"].values())),
}

OUTPUTS = ["delay_probability", "model", "kind", "reason", "request"]


def probability(url: str, flight: dict) -> float:
    """What version 1 of the interface answers."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/endpoints/{ENDPOINT}/requests", json.dumps(flight).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["score"]["delay_probability"]


def decision(url: str, request: str) -> dict:
    """What is read of a request later."""
    with urllib.request.urlopen(f"{url}/v1/endpoints/{ENDPOINT}/requests/{request}", timeout=10) as answer:
        return json.load(answer)
