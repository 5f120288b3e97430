"""The schedule of the servers in Python, and the table: `python3 -m unittest discover --start-directory tests/peers`.

Needs nothing but Python.
"""

import json
import unittest
from pathlib import Path

from schedule import FAILED, Schedule, Settled, Waiting, decide
from table import HEAD, number, row, table

SCHEDULE = Schedule(("a@1", "b@1", "c@1"), (0, 0.06, 0.12), 0.2, {"p": 0.3})


class Decisions(unittest.TestCase):
    def decide(self, elapsed, *scores):
        return decide(SCHEDULE, elapsed, scores)

    def test_the_most_preferred_open_choice_answers(self):
        self.assertEqual(self.decide(0.01, 0.5, 0.6, 0.7), Settled(0))
        self.assertEqual(self.decide(0.15, None, 0.6, 0.7), Settled(1))
        self.assertEqual(self.decide(0.15, None, None, 0.7), Settled(2))

    def test_a_choice_that_is_not_open_waits_for_its_time(self):
        self.assertEqual(self.decide(0.01, None, 0.6, 0.7), Waiting((0,), 0.06))
        self.assertEqual(self.decide(0.07, None, None, 0.7), Waiting((0, 1), 0.12))
        self.assertEqual(self.decide(0.13, None, None, None), Waiting((0, 1, 2), 0.2))

    def test_a_failure_opens_the_next_choice(self):
        self.assertEqual(self.decide(0.01, FAILED, 0.6, 0.7), Settled(1))
        self.assertEqual(self.decide(0.01, FAILED, FAILED, 0.7), Settled(2))
        self.assertEqual(self.decide(0.01, FAILED, None, 0.7), Waiting((1,), 0.06))
        self.assertEqual(self.decide(0.01, None, FAILED, 0.7), Waiting((0,), 0.06))

    def test_the_fallback_answers_when_all_have_failed_or_at_the_deadline(self):
        self.assertEqual(self.decide(0.01, FAILED, FAILED, FAILED), Settled(None))
        self.assertEqual(self.decide(0.2, None, None, None), Settled(None))
        self.assertEqual(self.decide(0.2, None, None, 0.7), Settled(2))

    def test_the_schedule_is_read_from_an_endpoints_configuration(self):
        path = Path(__file__).parent / "endpoints/flight-delay.json"
        schedule = Schedule.of(json.loads(path.read_text()))
        self.assertEqual(schedule.models, ("logistic@1", "timetable@1", "prior@1"))
        self.assertEqual(schedule.opens, (0, 0.06, 0.12))
        self.assertEqual((schedule.deadline, schedule.fallback), (0.2, {"delay_probability": 0.274}))

    def test_the_configuration_is_the_examples_own_without_the_model_that_is_left_out(self):
        here = Path(__file__).parent
        example = json.loads((here / "../../infra/local/endpoints/flight-delay.json").read_text())
        observers = [each for each in example["observers"] if each["model"] != "mlp@1"]
        ours = json.loads((here / "endpoints/flight-delay.json").read_text())
        self.assertEqual(ours, example | {"observers": observers})


def load(per_second, p50, p99, **more):
    figures = {"requests": 200, "errors": 0, "kinds": {}, "in_time": 1.0, "processor_seconds": 0.4, "resident_mb": [90]}
    return figures | {"requests_per_second": per_second, "latency_ms": {"p50": p50, "p99": p99}} | more


def measured(per_second, **more):
    return {
        "one": load(per_second, 0.5, 1),
        "many": load(per_second * 10, 12.34, 123.4, resident_mb=[100, per_second, 101]),
        "half": load(per_second * 5, 2, 3, **more),
    }


class Tables(unittest.TestCase):
    def test_a_cell_is_the_median_of_the_rounds(self):
        cells = dict(zip(HEAD, row("x", 4, False, [measured(300), measured(9_000), measured(200)])))
        self.assertEqual(cells["1 connection: requests/s"], "300")
        self.assertEqual(cells["32 connections: requests/s"], "3,000")
        self.assertEqual(cells["half load: requests/s"], "1,500")
        self.assertEqual(cells["memory MB"], "300")
        self.assertEqual(cells["processor ms a request"], "2.0")
        # Three columns have this name; the last one counts here.
        self.assertEqual(cells["p50 / p99 ms"], "2.0 / 3.0")

    def test_shares_are_of_all_requests(self):
        failing = row("x", 1, True, [measured(100, errors=20, in_time=0.9)])
        self.assertEqual(failing[9:11], ["90.00 %", "90.00 %"])
        kinds = {"champion": 150, "stand_in": 50}
        standing_in = row("x", 4, True, [measured(100, kinds=kinds)])
        self.assertEqual(standing_in[2], "hangs in 1 of 10")
        self.assertEqual(standing_in[9:11], ["100.00 %", "75.00 %"])

    def test_every_row_has_as_many_cells_as_the_head(self):
        lines = table([("x", 1, False, [measured(100)]), ("y", 4, True, [measured(100)])]).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual({line.count("|") for line in lines}, {len(HEAD) + 1})

    def test_numbers_have_the_digits_that_count(self):
        self.assertEqual([number(value) for value in (0.567, 5.67, 56.78, 567.8)], ["0.57", "5.7", "56.8", "568"])


if __name__ == "__main__":
    unittest.main()
