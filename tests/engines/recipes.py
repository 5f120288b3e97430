"""The recipes of functions/models/README.md, run as they stand there: a shadow of each library's model scores as the library does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import compare
import install
import joblib
import numpy as np
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

ENDPOINT = "fraud"
ROWS = 200
README = install.ROOT / "functions/models/README.md"
TORCH = "--torch" in sys.argv
NODE = "--node" in sys.argv
# The recipes that need more than Python's packages, and whether they are done.
OPTIONAL = {"torch@1": TORCH, "node@1": NODE}

# The probability of a row by the library itself.
Expected = dict[str, Callable[[np.ndarray], float]]


def main() -> int:
    with TemporaryDirectory(dir=install.TARGET) as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        for name in ("models", "endpoints"):
            (folder / name).mkdir()
        port = compare.free_port()
        random = np.random.default_rng(7)
        X = np.round(random.uniform([0, 18], [9_000, 90], size=(2_000, 2)), 1)
        expected = follow(folder, X, f"http://127.0.0.1:{port}")
        if NODE:
            install_node(folder / "models/node")
        stack.enter_context(compare.mlserver(folder, port, ENDPOINT))
        address = stack.enter_context(compare.serve(folder))
        rows = X[:ROWS]
        for _ in range(100):
            # The processes have started when each model has scored a request.
            compare.ask(address, payload(rows[0]), ENDPOINT)
            if set(expected) <= set(compare.scores(folder / "data")):
                break
            time.sleep(0.5)
        answered = [compare.ask(address, payload(row), ENDPOINT) for row in rows]
        stack.close()
        return report(expected, answered, rows, compare.scores(folder / "data"))


def follow(folder: Path, X: np.ndarray, server: str) -> Expected:
    """Does what the README says, in this folder, with models that are trained here."""
    y = (X[:, 0] / 9_000 + X[:, 1] / 300 > 0.6).astype(int)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    lgbm_classifier = LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(X, y)
    xgb_classifier = XGBClassifier(n_estimators=10, n_jobs=1).fit(X, y)
    joblib.dump(pipeline, folder / "models/pipeline.joblib")
    names: dict[str, Any] = {name: value for name, value in locals().items() if name in ("X", "pipeline") or name.endswith("_classifier")}
    net = None
    if TORCH:
        import torch

        torch.manual_seed(7)
        scale = torch.nn.Linear(2, 8)
        net = names["net"] = torch.nn.Sequential(scale, torch.nn.Tanh(), torch.nn.Linear(8, 1), torch.nn.Sigmoid())
    with contextlib.chdir(folder):
        for before, language, block in blocks():
            file = re.search(r"`((?:models|endpoints)/[\w.]+)`(?:: [^`]*)?:?\s*$", before)
            if "node@1" in block and '"command"' in block and not NODE:
                continue
            if file or '"engine": "remote"' in block:
                path = Path(file[1] if file else "models/fraud.json")
                path.write_text(adapted(block, server))
            elif language == "python" and (TORCH or "torch" not in block):
                exec(compile(adapted(block, server), str(README), "exec"), names)

    def probability(model: Any) -> Callable[[np.ndarray], float]:
        return lambda row: float(model.predict_proba(row[None])[0, 1])

    expected = {
        "rule@1": lambda row: float(min(1, row[0] / 10_000)),
        "sklearn@1": probability(pipeline),
        "lightgbm@1": probability(lgbm_classifier),
        "xgboost@1": probability(xgb_classifier),
        "fraud@2": probability(pipeline),
    }
    if NODE:
        expected["node@1"] = expected["rule@1"]
    if net is not None:
        expected["torch@1"] = lambda row: net(torch.tensor(row[None].tolist())).item()
    return expected


def install_node(place: Path) -> None:
    """Copies the example in JavaScript and installs its packages. CMake is one of this environment's."""
    place.mkdir()
    for file in ("handler.mjs", "package.json", "package-lock.json"):
        shutil.copy(install.ROOT / "functions/models/node" / file, place)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["npm", "ci", "--silent"], cwd=place, env=os.environ | {"PATH": path}, check=True)


def blocks() -> list[tuple[str, str, str]]:
    """The blocks of the recipes: the paragraph before each, its language, and its text."""
    text = README.read_text()
    recipes = section(text, "From your library to a live shadow")
    remote = section(text, "A model on another server")
    found = re.findall(r"((?:[^\n]+\n)+)\n```(\w+)\n(.*?)```\n", recipes, re.DOTALL)
    return found + re.findall(r"((?:[^\n]+\n)+)\n```(json)\n(.*?)```\n", remote, re.DOTALL)


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def adapted(block: str, server: str) -> str:
    """The same with the address and the paths of this run, and with time-outs that a busy machine keeps."""
    block = block.replace("http://127.0.0.1:8085", server).replace('"python3"', json.dumps(sys.executable))
    block = block.replace('"timeout_ms": 200', '"timeout_ms": 5000').replace('"deadline_ms": 1000', '"deadline_ms": 20000')
    if '"engine": "function"' in block:
        source = str(install.ROOT / "functions/models/python/src")
        card = json.loads(block)
        return json.dumps(card | {"environment": card.get("environment", {}) | {"PYTHONPATH": source}})
    if '"observers"' in block:
        endpoint = json.loads(block)
        endpoint["observers"] = [each for each in endpoint["observers"] if OPTIONAL.get(each["model"], True)]
        return json.dumps(endpoint)
    return block


def payload(row: np.ndarray) -> dict[str, float]:
    return {"amount": float(row[0]), "age": float(row[1])}


def report(expected: Expected, answered: list[str], rows: np.ndarray, scored: dict[str, dict[str, Any]]) -> int:
    """Prints a line for each model; returns 1 if one of them has not scored a row, or otherwise than its library."""
    wrong = 0
    for model, probability in expected.items():
        found = [(scored.get(model, {}).get(request), row) for request, row in zip(answered, rows, strict=True)]
        good = [(score["score"]["probability"], row) for score, row in found if score and score["score"]]
        difference = max((abs(value - probability(row)) for value, row in good), default=float("inf"))
        wrong += len(good) < len(rows) or difference > 1e-5
        print(f"{model}: {len(good)} of {len(rows)} rows, largest difference {difference:.1e}")
    if not TORCH:
        print("torch@1: not run, since PyTorch takes some gigabytes: run with --torch")
    if not NODE:
        print("node@1: not run, since its runtime client is compiled for some minutes: run with --node")
    return min(wrong, 1)


if __name__ == "__main__":
    os.chdir(install.ROOT)
    sys.exit(main())
