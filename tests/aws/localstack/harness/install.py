"""Installs LocalStack, the plugin and DynamoDB Local under target/localstack."""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.paths import FILES, HERE, HOME, INSTALLED, VENV

REQUIREMENTS = HERE / "requirements.txt"

# DynamoDB Local, whose jar LocalStack would download; this package of npm has it.
DYNAMODB = "amplify-dynamodb-simulator"
DYNAMODB_VERSION = "2.9.30"
DYNAMODB_INTEGRITY = "sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="

# A script in the place of the Java that LocalStack would download: it runs the machine's own, without LocalStack's agent,
# which would be another download. One client needs neither a parallel collector nor the slower compiler.
JAVA = """#!/bin/sh
for argument; do
  shift
  case $argument in
    -javaagent:*) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec {java} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "$@"
"""


class Missing(Exception):
    """A program that this machine does not have."""


def install() -> None:
    """Does what has not been done yet. A second call takes no time."""
    java = _java()
    if shutil.which("npm") is None:
        raise Missing("npm is missing, which fetches DynamoDB Local (Debian: apt install npm)")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    _once("packages", _hash([REQUIREMENTS], sys.version), _packages)
    _once("plugin", _hash([HERE / "pyproject.toml", *sorted((HERE / "native_localstack").rglob("*.py"))]), _plugin)
    _once("dynamodb", DYNAMODB_INTEGRITY, _dynamodb)
    _write_java(java)
    HOME.mkdir(exist_ok=True)


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise Missing(
            "Java 17 or newer is missing, which DynamoDB Local runs on (Debian: apt install default-jre-headless)"
        )
    printed = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    # openjdk version "17.0.15" 2025-04-15
    version = printed.split('"')[1].split(".")[0]
    if not version.isdigit() or int(version) < 17:
        raise Missing(f"DynamoDB Local needs Java 17 or newer, and {java} is {printed.splitlines()[0]}")
    return java


def _once(name: str, wanted: str, make: Callable[[], None]) -> None:
    """Calls `make` unless it has been called for what is wanted."""
    mark = INSTALLED / f"{name}.installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    mark.unlink(missing_ok=True)
    print(f"installing LocalStack's {name} into {INSTALLED}", flush=True)
    start = time.monotonic()
    make()
    mark.write_text(wanted)
    print(f"installed in {time.monotonic() - start:.0f} s", flush=True)


def _hash(files: list[Path], *more: str) -> str:
    total = hashlib.sha256("\0".join(more).encode())
    for file in files:
        total.update(f"{file.relative_to(HERE)}\0".encode() + file.read_bytes())
    return total.hexdigest()


def _pip(*arguments: str | Path) -> None:
    command = [VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def _packages() -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    # All are wheels, so that nothing is built, for which pip would fetch what is not pinned.
    _pip("--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", REQUIREMENTS)
    (INSTALLED / "plugin.installed").unlink(missing_ok=True)


def _plugin() -> None:
    # From a copy: to build it writes beside its sources.
    copy = INSTALLED / "plugin"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(
        HERE / "native_localstack", copy / "native_localstack", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(HERE / "pyproject.toml", copy)
    _pip("--no-deps", "--no-build-isolation", "--force-reinstall", copy)
    # LocalStack remembers which plugins there are.
    shutil.rmtree(HOME, ignore_errors=True)


def _dynamodb() -> None:
    folder = INSTALLED / "npm"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command = ["npm", "pack", "--silent", f"{DYNAMODB}@{DYNAMODB_VERSION}"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    archive = next(folder.glob("*.tgz"))
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != DYNAMODB_INTEGRITY:
        raise RuntimeError(f"{DYNAMODB} {DYNAMODB_VERSION} has the integrity {found}, not {DYNAMODB_INTEGRITY}")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    place = FILES / "var/lib/localstack/lib/dynamodb-local/2"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder / "package" / "emulator", place)
    shutil.rmtree(folder)


def _write_java(java: str) -> None:
    place = FILES / "var/lib/localstack/lib/java/21/bin/java"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(JAVA.format(java=java))
    place.chmod(0o755)
