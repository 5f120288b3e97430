"""Trains one model of each common kind, exports it by the ordinary call, and writes what tests/exports.rs reads.

For each model: NAME.onnx; NAME.json, its model card; and NAME.ndjson.zst, the scores that scikit-learn, LightGBM or
XGBoost itself gives to the rows of numbers.ndjson.zst, gaps.ndjson.zst or people.ndjson.zst. Run it with Python 3.11. The
variable makes skl2onnx write the same bytes again; onnxmltools gives each graph a new name:

    python3.11 -m venv venv
    venv/bin/pip install --require-hashes --no-deps --requirement requirements.txt
    PYTHONHASHSEED=0 venv/bin/python make.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxmltools
import pandas as pd
import xgboost
import zstandard
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from skl2onnx import to_onnx

FOLDER = Path(__file__).parent
ROWS = 1_000
WIDTH = 8
RANDOM = np.random.default_rng(7)
SEED = 7


def rounded(x: np.ndarray) -> np.ndarray:
    """Two decimals, as numbers of 32 bits in double precision: the models compute with the very numbers that
    the graphs get, and with more digits."""
    return np.round(x, 2).astype(np.float32).astype(np.float64)


def single(x: Any) -> Any:
    """The first row in single precision, for the exporter."""
    if isinstance(x, pd.DataFrame):
        return x[:1].astype({"age": np.float32, "income": np.float32})
    return x[:1].astype(np.float32)


X, CLASSES = make_classification(
    ROWS, WIDTH, n_informative=6, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=SEED
)
X = rounded(X * 3)
LATE = (CLASSES == 1).astype(int)
WORDS = np.where(LATE == 1, "late", "on time")
TARGET = X[:, 0] * 2 - X[:, 1] * X[:, 2] + RANDOM.normal(size=ROWS)
GAPS = X.copy()
GAPS[RANDOM.uniform(size=X.shape) < 0.1] = np.nan
PEOPLE = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 90, ROWS).astype(np.float64),
        "income": rounded(RANDOM.normal(50, 10, ROWS)),
        "city": RANDOM.choice(["Rome", "Paris", "Oslo", "São Paulo"], ROWS),
        "plan": RANDOM.choice(["basic", "plus", "pro"], ROWS),
        "visits": RANDOM.integers(0, 20, ROWS),
        "member": RANDOM.uniform(size=ROWS) < 0.4,
    }
)
PEOPLE.loc[RANDOM.uniform(size=ROWS) < 0.2, "income"] = np.nan
CHURN = np.where(
    (PEOPLE.city == "Rome") | (PEOPLE.visits + RANDOM.normal(0, 4, ROWS) > 12), "leaves", "stays"
)
# What the models have not seen in training: the last rows of the payloads.
STRANGE = PEOPLE.copy()
STRANGE.loc[ROWS - 20 :, "city"] = "Atlantis"
STRANGE.loc[ROWS - 10 :, "plan"] = "none"


def write_lines(name: str, lines: list[Any]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    compressed = zstandard.ZstdCompressor(level=19).compress(text.encode())
    (FOLDER / f"{name}.ndjson.zst").write_bytes(compressed)


def plain(value: Any) -> Any:
    """A value of numpy or pandas as JSON has it."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(float(value), 2)
    return value.item() if isinstance(value, np.generic) else value


def payloads(x: np.ndarray | pd.DataFrame) -> list[dict[str, Any]]:
    if isinstance(x, pd.DataFrame):
        return [{name: plain(value) for name, value in row.items()} for row in x.to_dict("records")]
    return [{"x": [plain(value) for value in row]} for row in x]


def write(
    name: str, onnx: Any, inputs: list[dict], outputs: list, scores: list[dict], rows: str = "numbers"
) -> None:
    content = onnx.SerializeToString()
    (FOLDER / f"{name}.onnx").write_bytes(content)
    card = {
        "model": f"{name}@1",
        "about": "Written by make.py.",
        "endpoints": ["test"],
        "onnx": f"{name}.onnx",
        "timeout_ms": 1000,
        "inputs": inputs,
        "outputs": outputs,
        "provenance": {"sha256": hashlib.sha256(content).hexdigest(), "payloads": rows},
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    write_lines(name, scores)
    print(f"{name}: {len(content)} bytes")


def array(optional: bool = False) -> list[dict]:
    return [{"field": "/x", "length": WIDTH} | ({"optional": True} if optional else {})]


def classified(model: Any, x: Any, label: str, probabilities: str) -> tuple[list, list[dict]]:
    """Entries for the label and for all probabilities, and the scores."""
    labels, p = model.predict(x), model.predict_proba(x)
    names = [f"p_{name}" for name in model.classes_]
    columns = [{"name": n, "output": probabilities, "column": i} for i, n in enumerate(names)]
    scores = [
        {"label": plain(label)} | {n: float(v) for n, v in zip(names, row)} for label, row in zip(labels, p)
    ]
    return [{"name": "label", "output": label}, *columns], scores


def last_class(model: Any, x: Any) -> tuple[list, list[dict]]:
    """The shortest card: one name, which is the probability of the second class."""
    return ["late"], [{"late": float(p)} for p in model.predict_proba(x)[:, 1]]


def write_numbers() -> None:
    zipped = ("output_label", "output_probability")
    unzipped = ("label", "probabilities")
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, LATE)
    write("logistic", to_onnx(scaled, single(X)), array(), *last_class(scaled, X))

    words = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, WORDS)
    onnx = to_onnx(words, single(X), options={"zipmap": False})
    write("logistic-words", onnx, array(), *classified(words, X, *unzipped))
    # X in double precision, as numpy has it if nobody asks for another: skl2onnx writes other operators.
    onnx = to_onnx(words, X[:1])
    write("logistic-double", onnx, array(), *classified(words, X, *zipped))

    three = LogisticRegression().fit(X, CLASSES)
    p = three.predict_proba(X)
    names = ["a", "b", "c"]
    scores = [dict(zip(names, map(float, row))) for row in p]
    write("logistic-three", to_onnx(three, single(X)), array(), names, scores)

    for name, model, y in [
        ("forest-classifier", RandomForestClassifier(20, max_depth=6, random_state=SEED), WORDS),
        ("forest-three", RandomForestClassifier(10, max_depth=5, random_state=SEED), CLASSES),
        ("boosting-classifier", GradientBoostingClassifier(n_estimators=30, random_state=SEED), LATE),
        ("boosting-three", GradientBoostingClassifier(n_estimators=10, random_state=SEED), CLASSES),
        ("mlp-classifier", make_pipeline(StandardScaler(), mlp(MLPClassifier)), WORDS),
    ]:
        model.fit(X, y)
        write(name, to_onnx(model, single(X)), array(), *classified(model, X, *zipped))

    for name, model in [
        ("linear", LinearRegression()),
        ("forest-regressor", RandomForestRegressor(10, max_depth=6, random_state=SEED)),
        ("boosting-regressor", GradientBoostingRegressor(n_estimators=30, random_state=SEED)),
        ("mlp-regressor", make_pipeline(StandardScaler(), mlp(MLPRegressor))),
    ]:
        model.fit(X, TARGET)
        scores = [{"y": float(y)} for y in np.ravel(model.predict(X))]
        write(name, to_onnx(model, single(X)), array(), ["y"], scores)


def mlp(kind: type) -> Any:
    return kind(hidden_layer_sizes=(16,), max_iter=300, random_state=SEED)


def write_gaps() -> None:
    zipped = ("output_label", "output_probability")
    hist = HistGradientBoostingClassifier(max_iter=30, random_state=SEED).fit(GAPS, WORDS)
    write("hist-classifier", to_onnx(hist, single(GAPS)), array(True), *classified(hist, GAPS, *zipped), "gaps")
    hist = HistGradientBoostingRegressor(max_iter=30, random_state=SEED).fit(GAPS, TARGET)
    scores = [{"y": float(y)} for y in hist.predict(GAPS)]
    write("hist-regressor", to_onnx(hist, single(GAPS)), array(True), ["y"], scores, "gaps")

    types = [("input", FloatTensorType([None, WIDTH]))]
    names = ("label", "probabilities")
    for name, y in [("lightgbm", LATE), ("lightgbm-three", CLASSES)]:
        model = lightgbm.LGBMClassifier(
            n_estimators=15, num_leaves=15, random_state=SEED, verbose=-1, deterministic=True, n_jobs=1
        ).fit(GAPS, y)
        onnx = onnxmltools.convert_lightgbm(model, initial_types=types)
        write(name, onnx, array(True), *classified(model, GAPS, *names), "gaps")
    for name, y in [("xgboost", LATE), ("xgboost-three", CLASSES)]:
        model = xgboost.XGBClassifier(n_estimators=15, max_depth=4, random_state=SEED, n_jobs=1).fit(GAPS, y)
        onnx = onnxmltools.convert_xgboost(model, initial_types=types)
        write(name, onnx, array(True), *classified(model, GAPS, *names), "gaps")


def write_people() -> None:
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("hot", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("ordinal", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["plan"]),
            ("rest", "passthrough", ["visits", "member"]),
        ]
    )
    model = Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=1000))])
    model.fit(PEOPLE, CHURN)
    types = {"city": "text", "plan": "text", "visits": "i64", "member": "bool"}
    inputs = [
        {"field": f"/{name}", "input": name}
        | ({"type": types[name]} if name in types else {})
        | ({"optional": True} if name == "income" else {})
        for name in PEOPLE.columns
    ]
    outputs, scores = classified(model, STRANGE, "output_label", "output_probability")
    write("pipeline", to_onnx(model, single(PEOPLE)), inputs, outputs, scores, "people")
    write("pipeline-double", to_onnx(model, PEOPLE[:1]), inputs, outputs, scores, "people")


def write_strict() -> None:
    """The encoders' defaults: a category that was not there in training is an error, here the score null."""
    columns = ColumnTransformer(
        [("hot", OneHotEncoder(), ["city", "plan"]), ("rest", "passthrough", ["age", "visits"])]
    )
    forest = RandomForestClassifier(5, max_depth=4, random_state=SEED)
    names = ["age", "city", "plan", "visits"]
    model = Pipeline([("columns", columns), ("model", forest)]).fit(PEOPLE[names], CHURN)
    text = {"type": "text"}
    inputs = [{"field": f"/{n}", "input": n} | (text if n in ("city", "plan") else {}) for n in names]
    onnx = to_onnx(model, PEOPLE[names][:1].astype({"age": np.float32}))
    outputs, scores = classified(model, PEOPLE[names], "output_label", "output_probability")
    known = (STRANGE.city == PEOPLE.city) & (STRANGE.plan == PEOPLE.plan)
    scores = [score if same else None for score, same in zip(scores, known)]
    write("pipeline-strict", onnx, inputs, outputs, scores, "people")


def main() -> None:
    write_lines("numbers", payloads(X))
    write_lines("gaps", payloads(GAPS))
    write_lines("people", payloads(STRANGE))
    write_numbers()
    write_gaps()
    write_people()
    write_strict()


if __name__ == "__main__":
    main()
