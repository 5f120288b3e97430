"""The line of metrics, whose names the template's alarms and the dashboard use."""

import re
import unittest
from typing import Any

from rendezvous_model import Invalid, metrics
from rendezvous_model.testing import event
from support import ROOT, Bench, handler, stopped


class Line(Bench):
    def test_each_batch_is_one_line(self) -> None:
        with stopped() as clock:

            def score(payload: Any) -> Any:
                clock.passed += 0.004
                if payload == "invalid":
                    raise Invalid
                if payload == "raise":
                    raise ValueError
                return payload

            batch = event("e", 1, "invalid", 2, "raise", None)
            clock.passed += 0.07
            with self.logged():
                self.handle(handler(score), batch)
        line = self.metrics()
        self.assertEqual(self.output.getvalue().count("\n"), 1)
        figures = {name: value for name, value in line.items() if name != "_aws"}
        self.assertEqual(
            figures,
            {
                "Stack": "local",
                "Model": "m@1",
                "RequestsRead": 5,
                "RequestsUnreadable": 0,
                "Scored": 2,
                "Failed": 1,
                "TimedOut": 0,
                "Invalid": 2,
                "Expired": 0,
                "Unsent": 0,
                "Lag": 70.0,
                "ScoreTime": {"Values": [4.0, 4.0], "Counts": [1, 1]},
            },
        )
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        self.assertEqual((directive["Namespace"], directive["Dimensions"]), ("Rendezvous", [["Stack", "Model"]]))
        names = [metric["Name"] for metric in directive["Metrics"]]
        self.assertEqual(sorted(names), sorted(set(figures) - {"Stack", "Model"}))
        units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"] if "Unit" in metric}
        self.assertEqual(units, {"Lag": "Milliseconds", "ScoreTime": "Milliseconds"})
        self.assertEqual(line["_aws"]["Timestamp"], (clock.start_us + 90_000) // 1_000)

    def test_the_names_are_those_of_the_rust_runtime(self) -> None:
        rust = (ROOT / "functions/models/runtime/src/aws.rs").read_text(encoding="utf-8")
        (fields,) = re.findall(r"struct Batch \{(.*?)\n\}", rust, re.DOTALL)
        expected = [name.title().replace("_", "") for name in re.findall(r"^    (\w+): ", fields, re.MULTILINE)]
        self.sent(handler(lambda payload: payload), 1)
        self.assertEqual(sorted(expected), sorted(name for name in self.metrics() if name != "_aws"))

    def test_without_scores_there_is_no_time(self) -> None:
        self.sent(handler(lambda _payload: None), 1)
        self.assertNotIn("ScoreTime", self.metrics())

    def test_many_times_are_counted_together(self) -> None:
        histogram = metrics.histogram([i * 1_000 for i in range(250, 0, -1)])
        self.assertLessEqual(len(histogram["Values"]), metrics.MAX_VALUES)
        self.assertEqual(sum(histogram["Counts"]), 250)
        self.assertEqual((histogram["Values"][0], histogram["Values"][-1]), (2.0, 250.0))
        total = sum(value * count for value, count in zip(histogram["Values"], histogram["Counts"], strict=True))
        self.assertAlmostEqual(total, 250 * 251 / 2)

    def test_nothing_of_a_request_is_printed(self) -> None:
        def score(payload: Any) -> Any:
            raise ValueError(payload)

        with self.logged() as log:
            self.handle(handler(score), event("e", "secret"))
        self.assertNotIn("secret", self.output.getvalue() + "\n".join(log.output))
        id = self.scores.messages()[0]["envelope"]["key"]
        self.assertNotIn(id, self.output.getvalue() + "\n".join(log.output))


if __name__ == "__main__":
    unittest.main()
