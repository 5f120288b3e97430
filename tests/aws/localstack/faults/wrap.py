"""Puts the wrapper around a model's program."""

import io
import zipfile
from pathlib import Path

from faults.build import BUILT
from faults.stack import Stack
from harness.paths import HERE

EXECUTABLE = 0o755 << 16


def wrap(stack: Stack, model: str, **variables: str) -> None:
    """Deploys a model anew, as `wrapper.py` says."""
    name = stack.function(model)
    stack.set_variables(name, **variables)
    bucket = f"{stack.name}-code"
    stack.s3.create_bucket(Bucket=bucket)
    stack.s3.put_object(Bucket=bucket, Key=name, Body=_package(BUILT / model.split("@")[0].capitalize()))
    stack.lambda_.update_function_code(FunctionName=name, S3Bucket=bucket, S3Key=name)
    stack.settle(name)


def _package(built: Path) -> bytes:
    folder = built / "ModelFunction"
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    files["model"] = files.pop("bootstrap")
    files["bootstrap"] = HERE / "faults" / "wrapper.py"
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = EXECUTABLE
            archive.writestr(entry, file.read_bytes())
    return package.getvalue()
