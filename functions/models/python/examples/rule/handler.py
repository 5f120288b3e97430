"""A model that is a plain function: flights in the evening and in bad weather are late more often."""

from typing import Any

from rendezvous_model import Invalid, model


def predict(payload: dict[str, Any]) -> dict[str, float]:
    hour = payload.get("hour")
    if not isinstance(hour, int) or not 0 <= hour <= 23:
        raise Invalid("/hour is not a whole number from 0 to 23")
    probability = 0.08 + 0.015 * max(0, hour - 5)
    # Weather is missing or null in some requests.
    if (payload.get("weather") or {}).get("precip", 0) > 0:
        probability += 0.15
    return {"delay_probability": round(probability, 4)}


handle = model("rule@1", endpoints=["flight-delay"], score=predict, timeout_ms=50)
