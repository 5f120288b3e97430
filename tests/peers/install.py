"""Installs the peers, trains their models and builds the load generator, under target/. A second call takes little time."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = ROOT / "target"
# All that a comparison writes.
PLACE = TARGET / "peers"
FLIGHTS = ROOT / "functions/models/flights"
# The models that are compared: its `mlp` is left out.
MODELS = ("logistic", "timetable", "prior", "gbt")


def install(environments: list[str]) -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    for name in environments:
        environment(PLACE / name, HERE / f"{name}.txt")
    _train()
    _cards()
    command = ["cargo", "build", "--release", "--quiet", "--locked", "--package", "rendezvous-local"]
    subprocess.run(command, cwd=ROOT, check=True)


def local() -> Path:
    """The program `rendezvous-local`."""
    return ROOT / os.environ.get("CARGO_TARGET_DIR", TARGET) / "release/rendezvous-local"


def python(environment: str) -> Path:
    return PLACE / environment / "bin/python"


def environment(folder: Path, requirements: Path) -> None:
    """A virtual environment with exactly the files that the requirements pin by their hashes."""
    wanted = sys.version + requirements.read_text()
    installed = folder / "installed.txt"
    if installed.exists() and installed.read_text() == wanted:
        return
    print(f"installing {requirements.relative_to(ROOT)} into {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--no-deps", "--requirement", requirements], check=True)
    installed.write_text(wanted)


def _train() -> None:
    sources = [*sorted(FLIGHTS.glob("*.py")), FLIGHTS / "requirements.txt", HERE / "prepare.py"]
    wanted = hashlib.sha256(b"\0".join(file.read_bytes() for file in sources)).hexdigest()
    trained = PLACE / "trained.txt"
    if trained.exists() and trained.read_text() == wanted:
        return
    environment(PLACE / "flights", FLIGHTS / "requirements.txt")
    print("training the models of the peers", file=sys.stderr, flush=True)
    command = [python("flights"), HERE / "prepare.py", PLACE, TARGET / "flights-data"]
    subprocess.run(command, cwd=ROOT, check=True)
    trained.write_text(wanted)


def _cards() -> None:
    """The models of our own server: cards and ONNX files."""
    folder = PLACE / "cards"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in MODELS:
        for end in ("json", "onnx"):
            shutil.copy(FLIGHTS / f"{name}.{end}", folder)
