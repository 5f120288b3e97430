"""One line of CloudWatch's embedded metric format for each batch, with the names of `runtime/src/aws.rs`.

The function prints the line, and CloudWatch extracts the metrics from the log. No call is made.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from rendezvous_model import clock
from rendezvous_model.score import Kind, Result, Score

NAMESPACE = "Rendezvous"

# "The metric value ... array ... must not have more than 100 members."
MAX_VALUES = 100


@dataclass
class Report:
    """The report of one batch."""

    requests: int = 0
    """Requests of the model's endpoints that it is expected to score."""
    unreadable: int = 0
    scored: int = 0
    failures: dict[Kind, int] = field(default_factory=lambda: {"failed": 0, "timed_out": 0, "invalid": 0, "expired": 0})
    unsent: int = 0
    """Scores and failures that were not sent; Lambda hands their requests over again."""
    times_us: list[int] = field(default_factory=list)
    """For each score, how long the call of the model took that gave it."""
    lag_us: int = 0

    def count(self, result: Result, time_us: int) -> None:
        """Counts one request's result, given by a call that took this time."""
        if isinstance(result, Score):
            self.scored += 1
            self.times_us.append(time_us)
        else:
            self.failures[result.kind] += 1


def line(stack: str, model: str, report: Report) -> str:
    """The line, without its line feed."""
    metrics: dict[str, Any] = {
        "RequestsRead": report.requests,
        "RequestsUnreadable": report.unreadable,
        "Scored": report.scored,
        "Failed": report.failures["failed"],
        "TimedOut": report.failures["timed_out"],
        "Invalid": report.failures["invalid"],
        "Expired": report.failures["expired"],
        "Unsent": report.unsent,
        "Lag": report.lag_us / 1_000,
    }
    if report.times_us:
        metrics["ScoreTime"] = histogram(report.times_us)
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Stack", "Model"]],
        "Metrics": [{"Name": name, **_unit(name)} for name in metrics],
    }
    aws = {"Timestamp": clock.now_us() // 1_000, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": aws, "Stack": stack, "Model": model, **metrics}, separators=(",", ":"))


def histogram(times_us: list[int]) -> dict[str, list[float] | list[int]]:
    """The times in milliseconds with how often each was; neighbours are counted together where there are too many."""
    together = -(-len(times_us) // MAX_VALUES)
    ordered = sorted(times_us)
    chunks = [ordered[i : i + together] for i in range(0, len(ordered), together)]
    return {
        "Values": [round(sum(chunk) / len(chunk) / 1_000, 3) for chunk in chunks],
        "Counts": [len(chunk) for chunk in chunks],
    }


def _unit(name: str) -> dict[str, str]:
    return {"Unit": "Milliseconds"} if name in ("ScoreTime", "Lag") else {}
