"""What `run` does; see README.md."""

import argparse
import os
import signal
import subprocess
import sys
from types import FrameType

from harness.install import Missing, install
from harness.paths import HERE, VENV
from harness.processes import adopt_orphans, end_descendants

DEPLOYED_TEST = [
    *("cargo", "test", "--locked", "--workspace", "--test", "deployed"),
    *("--", "--nocapture"),
]


def main() -> int:
    arguments = _arguments()
    # For this process only: other programs of Python are started below it.
    os.environ.pop("PYTHONPATH", None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    adopt_orphans()
    try:
        install()
        if arguments.install:
            return 0
        if arguments.faults is not None:
            return _supervise(
                ["env", f"PYTHONPATH={HERE}", str(VENV / "bin/python"), "-m", "faults", *arguments.faults]
            )
        return _supervise(arguments.command or DEPLOYED_TEST)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    finally:
        end_descendants()


def _supervise(command: list[str]) -> int:
    """In a process of its own, which ends all when its standard input ends, that is, even if this one is killed."""
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "harness.supervisor", *command],
        env=os.environ | {"PYTHONPATH": str(HERE)},
        stdin=subprocess.PIPE,
        # A signal from the keyboard reaches this process alone.
        start_new_session=True,
    )
    try:
        return supervisor.wait()
    finally:
        if supervisor.stdin:
            supervisor.stdin.close()
        supervisor.wait()


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description="Runs a command, by default the deployed test, on LocalStack's open core."
    )
    parser.add_argument("--install", action="store_true", help="only install what is needed, under target/localstack")
    parser.add_argument("--faults", nargs="*", metavar="NAME", help="run the checks of faults/, or some of them")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="a program and its arguments")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
