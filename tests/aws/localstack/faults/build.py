"""The built template: the functions' binaries and the output of `sam build`."""

import os
import subprocess
import sys
from pathlib import Path

from harness.paths import INSTALLED, ROOT

SAM = ROOT / "target" / "python-sam"
SAM_REQUIREMENTS = ROOT / "tests/aws/python/sam.txt"
BUILT = INSTALLED / "sam"

# A busy machine may not give a process 50 ms of its time at once, and a time-out would be a right answer.
SHORT, LONG = '"timeout_ms": 50,', '"timeout_ms": 5000,'


def binaries() -> Path:
    """Where the functions' binaries are, after a build with the features of the workspace's tests.

    RENDEZVOUS_BINARIES names a folder with binaries that need no build."""
    if folder := os.environ.get("RENDEZVOUS_BINARIES"):
        return Path(folder)
    print("building the functions", flush=True)
    subprocess.run(["cargo", "test", "--locked", "--workspace", "--no-run", "--quiet"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


def sam() -> Path:
    """The SAM CLI, in the same environment as that of the tests in Rust."""
    mark = SAM / "installed.txt"
    wanted = SAM_REQUIREMENTS.read_text()
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing the SAM CLI into {SAM}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", SAM], check=True)
        pip: list[str | Path] = [
            SAM / "bin/pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
        ]
        subprocess.run([*pip, "--requirement", SAM_REQUIREMENTS], check=True)
        mark.write_text(wanted)
    return SAM / "bin/sam"


def build(folder: Path) -> Path:
    """Makes the functions' packages of the binaries in a folder; returns where the built template is."""
    _build(folder, BUILT, [])
    for card in BUILT.glob("*/ModelFunction/flights/*.json"):
        _allow_slow_calls(card)
    return BUILT


def build_model(folder: Path, built: Path, **variables: str) -> Path:
    """Builds a model's own stack, with variables for the Makefile; returns where the function's package is."""
    _build(folder, built, ["--template", ROOT / "functions/models/template.yaml"], **variables)
    package = built / "ModelFunction"
    for card in package.glob("flights/*.json"):
        _allow_slow_calls(card)
    return package


def _build(folder: Path, built: Path, options: list[str | Path], **variables: str) -> None:
    environment = os.environ | {
        # The binaries are there already.
        "CARGO_BUILD": "true",
        "BUILT": str(folder / "%"),
        "INSTALL": "install -s",
        "SAM_CLI_TELEMETRY": "0",
        **variables,
    }
    command = [sam(), "build", *options, "--build-dir", built]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


def _allow_slow_calls(card: Path) -> None:
    card.write_text(card.read_text().replace(SHORT, LONG))
