"""Guarded arms: the monitor removes a bad one and makes a good one main, with nobody watching."""

import time
from typing import Any

from faults.brought import asked
from faults.proxy import Proxy
from faults.stack import ENDPOINT, Stack, eventually, must

# The monitor's schedule runs each minute and counts the windows of complete minutes, three minutes behind.
SECONDS = 900


def ramped(stack: Stack, _proxy: Proxy) -> str:
    """Two arms at once: one whose champion is not there, and one that is as good as main."""
    with asked(stack) as replies:
        stack.publish(configuration())
        begun = time.monotonic()
        removed = eventually("the bad arm is removed", lambda: _published(stack, "Arm bad is removed"), SECONDS)
        after_bad = time.monotonic() - begun
        finished = eventually("the good arm becomes main", lambda: _published(stack, "Arm good becomes main"), SECONDS)
        after_good = time.monotonic() - begun
        current = stack.ctl("show", ENDPOINT)["configuration"]
        must(not current.get("arms"), f"arms are left: {current}")
        champion = current["schedule"]["choices"][0]["model"]
        must(champion == "timetable@1", f"the champion is {champion}")
        eventually("the new champion answers", lambda: replies[-1].by == "timetable@1 preferred")
    must("not answered by a model" in removed["message"], f"no figures: {removed['message']}")
    late = [reply.by for reply in replies if reply.seconds > 30]
    must(not late, f"clients waited too long: {late}")
    return (
        f"{len(replies)} requests; after {after_bad:.0f} s: {removed['message']} "
        f"After {after_good:.0f} s: {finished['message']}"
    )


def configuration() -> dict[str, Any]:
    """Half of the keys are in arms. No request of the bad one is answered by a model."""
    fallback = {"delay_probability": 0.274}

    def schedule(model: str, deadline_ms: int) -> dict[str, Any]:
        return {"choices": [{"model": model}], "deadline_ms": deadline_ms, "fallback": fallback}

    guard = {"hold_minutes": 1, "fallback_rate": 0.3}
    return {
        "schedule": schedule("logistic@1", 25_000),
        "arms": [
            {"name": "bad", "schedule": schedule("ghost@1", 1_500), "steps": [0.25], "step": 0, "guard": guard},
            {"name": "good", "schedule": schedule("timetable@1", 25_000), "steps": [0.5], "step": 0, "guard": guard},
        ],
        "observers": [{"model": model, "role": "challenger"} for model in ("prior@1", "gbt@1", "mlp@1")],
        "value": "/delay_probability",
    }


def _published(stack: Stack, beginning: str) -> dict[str, Any] | None:
    """The version of the monitor whose message begins so."""
    history = stack.ctl("history", ENDPOINT)
    by_monitor = (version for version in history if version["author"] == "monitor")
    return next((version for version in by_monitor if version["message"].startswith(beginning)), None)
