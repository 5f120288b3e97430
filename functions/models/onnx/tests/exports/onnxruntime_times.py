"""Prints how long ONNX Runtime takes for the models of make.py, to compare with tests/exports.rs.

The times are those of `InferenceSession.run` from Python, on one thread, with arrays that are ready. They contain the
overhead of a call from Python; the row `(empty graph)` shows how much that is: one Identity of the same 8 columns.
The times of tests/exports.rs contain reading a payload and writing a score as JSON instead.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import zstandard
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph

FOLDER = Path(__file__).parent
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(bool)": bool}


def lines(name: str) -> list[dict[str, Any]]:
    content = zstandard.ZstdDecompressor().decompress((FOLDER / f"{name}.ndjson.zst").read_bytes())
    return [json.loads(line) for line in content.decode().splitlines()]


def session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # LightGBM's exports declare a label of one row, which ONNX Runtime warns of in every call; pipeline-strict
    # refuses rows.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def feeds(run: onnxruntime.InferenceSession, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """All rows as the arrays that a graph takes."""
    arrays = {}
    for port in run.get_inputs():
        values = [row["x"] if "x" in row else [row[port.name]] for row in rows]
        arrays[port.name] = np.array(values, TYPES.get(port.type, object))
    return arrays


def microseconds(run: onnxruntime.InferenceSession, arrays: dict[str, np.ndarray], size: int) -> float:
    """The median time of a row in calls of a size."""
    count = len(next(iter(arrays.values())))
    calls = [{name: a[i : i + size] for name, a in arrays.items()} for i in range(0, count, size)]
    times = []
    for call in calls * 5:
        start = time.perf_counter()
        try:
            run.run(None, call)
        except Fail:
            # A category that pipeline-strict refuses.
            continue
        times.append((time.perf_counter() - start) * 1e6 / size)
    return statistics.median(times)


def empty() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "empty", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def main() -> None:
    print("| model | one row, µs | of a hundred, µs a row |\n| --- | --- | --- |")
    models = [("(empty graph)", empty(), "numbers")]
    for path in sorted(FOLDER.glob("*.json")):
        card = json.loads(path.read_text())
        models.append((path.stem, path.with_suffix(".onnx").read_bytes(), card["provenance"]["payloads"]))
    for name, content, rows in models:
        try:
            run = session(content)
        except InvalidGraph:
            print(f"| {name} | does not load | does not load |")
            continue
        arrays = feeds(run, lines(rows))
        one, hundred = (microseconds(run, arrays, size) for size in (1, 100))
        print(f"| {name} | {one:.1f} | {hundred:.2f} |")


if __name__ == "__main__":
    main()
