"""Which route of an HTTP API fits a request."""

import re
from typing import Any
from urllib.parse import unquote_plus

Route = dict[str, Any]


def find(routes: list[Route], method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The most specific route that fits, and the parameters in its path."""
    best: tuple[tuple[int, ...], Route, dict[str, str]] | None = None
    for route in routes:
        key = route["RouteKey"]
        if key == "$default":
            rank: tuple[int, ...] = (0,)
            parameters: dict[str, str] = {}
        else:
            wanted, template = key.split(" ", 1)
            if wanted not in (method, "ANY"):
                continue
            fits = _pattern(template).fullmatch(path)
            if fits is None:
                continue
            # Fixed segments come before parameters, and those before a greedy one; a method before ANY.
            rank = (1, "+}" not in template, template.count("/"), -template.count("{"), wanted == method)
            parameters = {name: unquote_plus(value) for name, value in fits.groupdict().items()}
        if best is None or rank > best[0]:
            best = (rank, route, parameters)
    return None if best is None else best[1:]


def _pattern(template: str) -> re.Pattern[str]:
    """`/a/{b}/{rest+}` as a regular expression."""
    parts = re.split(r"\{(\w+\+?)\}", template)
    text = re.escape(parts[0])
    for name, fixed in zip(parts[1::2], parts[2::2], strict=True):
        greedy = name.endswith("+")
        text += f"(?P<{name.rstrip('+')}>{'.+' if greedy else '[^/]+'})" + re.escape(fixed)
    return re.compile(text)
