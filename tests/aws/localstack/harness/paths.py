"""Where things are."""

from pathlib import Path

# This folder of the repository, and the repository.
HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent.parent

# What is installed. Nothing of it is committed: DynamoDB Local is under a licence of Amazon's own.
INSTALLED = ROOT / "target" / "localstack"
VENV = INSTALLED / "venv"
# LocalStack's file system, and the home folder of its processes.
FILES = INSTALLED / "fs"
HOME = INSTALLED / "home"
LOG = INSTALLED / "localstack.log"
