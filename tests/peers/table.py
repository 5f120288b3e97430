"""The figures as one table in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

# The figures of one server in one round, see measure.py.
Round = dict[str, Any]

HEAD = (
    "server",
    "models",
    "champion",
    "1 connection: requests/s",
    "p50 / p99 ms",
    "32 connections: requests/s",
    "p50 / p99 ms",
    "half load: requests/s",
    "p50 / p99 ms",
    "in time",
    "by the champion",
    "processor ms a request",
    "memory MB",
)


def table(rows: Iterable[tuple[str, int, bool, list[Round]]]) -> str:
    """Rows of (server, its models, whether its champion hangs, its rounds)."""
    lines = [HEAD, ["---"] * 3 + ["---:"] * (len(HEAD) - 3)]
    lines += [row(*each) for each in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def row(name: str, models: int, hang: bool, rounds: list[Round]) -> list[str]:
    def middle(figure: Callable[[Round], float]) -> float:
        return median(figure(each) for each in rounds)

    cells = [name, str(models), "hangs in 1 of 10" if hang else "well"]
    for load in ("one", "many", "half"):
        cells.append(count(middle(lambda each: each[load]["requests_per_second"])))
        p50, p99 = (middle(lambda each: each[load]["latency_ms"][p]) for p in ("p50", "p99"))
        cells.append(f"{number(p50)} / {number(p99)}")
    cells.append(share(middle(lambda each: each["half"]["in_time"])))
    cells.append(share(middle(lambda each: by_champion(each["half"]))))
    cells.append(number(middle(lambda each: processor_ms(each["half"]))))
    cells.append(count(middle(memory)))
    return cells


def by_champion(figures: dict[str, Any]) -> float:
    """The share of the requests that the champion answered, and in a server without kinds all that were answered."""
    requests = figures["requests"]
    answered = figures["kinds"].get("champion", 0) if figures["kinds"] else requests - figures["errors"]
    return answered / max(1, requests)


def processor_ms(figures: dict[str, Any]) -> float:
    return figures["processor_seconds"] * 1000 / max(1, figures["requests"])


def memory(each: Round) -> float:
    """The most of all loads."""
    return max(max(figures["resident_mb"], default=0) for figures in each.values())


def count(value: float) -> str:
    return f"{value:,.0f}"


def number(value: float) -> str:
    """Two digits that count, or all before the point."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def share(value: float) -> str:
    return f"{value * 100:.2f} %"
