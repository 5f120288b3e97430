"""The four models of the servers in Python: fitted estimators of scikit-learn, or with PEERS_ONNX the files that our own
server has."""

import os
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np

from flight import FLIGHTS, MODELS

# A row in, the probability out.
Probability = Callable[[np.ndarray], float]

# The columns of a flight's row that each takes.
COLUMNS: dict[str, slice | list[int]] = {
    "logistic": slice(None),
    # Without the weather.
    "timetable": slice(6),
    # Carrier and hour.
    "prior": [0, 4],
    "gbt": slice(None),
}


def load(name: str) -> Probability:
    probability = _onnx(FLIGHTS / f"{name}.onnx") if os.environ.get("PEERS_ONNX") else _scikit_learn(name)
    columns = COLUMNS[name]
    return lambda x: float(probability(x[:, columns]))


def _scikit_learn(name: str) -> Probability:
    fitted = joblib.load(MODELS / f"{name}.joblib")
    if name == "prior":
        # A table by carrier and hour; row 0 is the unknown carrier, -1.
        return lambda x: fitted[int(x[0, 0]) + 1, int(x[0, 1])]
    return lambda x: fitted.predict_proba(x)[0, 1]


def _onnx(path: Path) -> Probability:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One row is too little work for more.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0][0, 0]
