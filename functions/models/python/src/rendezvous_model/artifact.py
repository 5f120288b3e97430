"""From which artefact a model scores: the member `artifact` of every score."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rendezvous_model import names


def of(given: str | Path | None, score: Callable[..., Any]) -> str | None:
    """The artefact that the caller names, the hash of the file that it names, or the hash of the function's source file.

    None where the caller names none and the function has no source file.
    """
    if isinstance(given, Path):
        # An absent file fails the cold start, as an absent model would.
        return _digest(given)
    if given is not None:
        if not names.is_artifact(given):
            raise ValueError(
                f"artifact {given!r} must be a path (pathlib.Path), or 1 to 128 of A-Z, a-z, 0-9, '.', '_', ':', '/', '+', "
                "'@', '-', beginning with a letter or digit"
            )
        return given
    try:
        source = inspect.getsourcefile(inspect.unwrap(score))
        return None if source is None else _digest(Path(source))
    except (TypeError, ValueError, OSError):
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
