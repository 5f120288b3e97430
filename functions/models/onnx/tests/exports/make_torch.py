"""Exports a small PyTorch network by the ordinary call, as make.py does for the other libraries.

PyPI has no build of PyTorch for Linux that goes without CUDA's libraries, so that this one is not among make.py's packages. With Debian
12's python3-torch (1.13.1) and the program zstd:

    /usr/bin/python3 make_torch.py
"""

import hashlib
import json
import subprocess
from pathlib import Path

import torch
from torch import nn

FOLDER = Path(__file__).parent
NAME = "torch-mlp"


def main() -> None:
    lines = subprocess.run(["zstd", "-dc", FOLDER / "numbers.ndjson.zst"], check=True, capture_output=True).stdout
    x = torch.tensor([json.loads(line)["x"] for line in lines.splitlines()])
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    file = FOLDER / f"{NAME}.onnx"
    rows = {0: "rows"}
    torch.onnx.export(
        net, x[:1], str(file), input_names=["x"], output_names=["late"], dynamic_axes={"x": rows, "late": rows}
    )
    with torch.no_grad():
        # In double precision: what the graph should give.
        scores = net.double()(x.double()).ravel().tolist()
    text = "".join(json.dumps({"late": score}) + "\n" for score in scores)
    packed = subprocess.run(["zstd", "-19", "-c"], input=text.encode(), check=True, capture_output=True).stdout
    (FOLDER / f"{NAME}.ndjson.zst").write_bytes(packed)
    card = {
        "model": f"{NAME}@1",
        "about": "Written by make_torch.py.",
        "endpoints": ["test"],
        "onnx": f"{NAME}.onnx",
        "timeout_ms": 1000,
        "inputs": [{"field": "/x", "length": 8}],
        "outputs": ["late"],
        "provenance": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "payloads": "numbers"},
    }
    (FOLDER / f"{NAME}.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
