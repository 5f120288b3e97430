"""One scikit-learn pipeline as three models: its ONNX export, a Python function, and a model of MLServer."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ENDPOINT = "tumour"
ROOT = Path(__file__).resolve().parents[2]

HANDLER = '''"""The pipeline as a Python function."""

import joblib
from rendezvous_model import model

pipeline = joblib.load("pipeline.joblib")


def score_batch(payloads):
    probabilities = pipeline.predict_proba([payload["cells"] for payload in payloads])
    return [{"benign": float(row[1])} for row in probabilities]


handle = model("function@1", endpoints=["tumour"], score_batch=score_batch, timeout_ms=2000)
'''


def train(folder: Path, rows: int, server: str) -> tuple[list[dict[str, Any]], list[float]]:
    """Writes the models and their cards; returns payloads and scikit-learn's own probabilities."""
    data = load_breast_cancer()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(data.data, data.target)
    joblib.dump(pipeline, folder / "pipeline.joblib")
    onnx = to_onnx(pipeline, data.data[:1].astype(np.float32), options={"zipmap": False}).SerializeToString()
    (folder / "pipeline.onnx").write_bytes(onnx)
    (folder / "handler.py").write_text(HANDLER)
    width = data.data.shape[1]
    common = {"endpoints": [ENDPOINT], "about": "Logistic regression on 30 measurements."}
    timed = common | {"timeout_ms": 2000}
    cards: dict[str, dict[str, Any]] = {
        "onnx": timed
        | {
            "onnx": "pipeline.onnx",
            "inputs": [{"field": "/cells", "length": width}],
            "outputs": ["benign"],
            "provenance": {"sha256": hashlib.sha256(onnx).hexdigest()},
        },
        "function": common
        | {
            "engine": "function",
            "command": [sys.executable, "-m", "rendezvous_model", "handler.handle"],
            "environment": {"PYTHONPATH": str(ROOT / "functions/models/python/src")},
        },
        "remote": timed
        | {
            "engine": "remote",
            "url": f"{server}/v2/models/pipeline",
            "tensors": {
                "inputs": [{"name": "cells", "datatype": "FP64", "shape": [-1, width], "field": "/cells"}],
                "outputs": [
                    {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2], "fields": ["/malign", "/benign"]}
                ],
            },
        },
    }
    for engine, card in cards.items():
        (folder / f"{engine}.json").write_text(json.dumps({"model": f"{engine}@1"} | card))
    # Payloads are what a client sends: numbers of the size of the data, as f32 as the export takes them.
    random = np.random.default_rng(7)
    picked = data.data[random.integers(len(data.data), size=rows)]
    picked = (picked * random.uniform(0.9, 1.1, picked.shape)).astype(np.float32).astype(np.float64)
    payloads = [{"number": number, "cells": row.tolist()} for number, row in enumerate(picked)]
    return payloads, pipeline.predict_proba(picked)[:, 1].tolist()
