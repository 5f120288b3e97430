"""The template's queries with settings of the tests' choice. What runs them is infra/ctl/query/saved_queries.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sqlglot import exp

INFRA = Path(__file__).resolve().parents[2] / "infra"
sys.path.insert(0, str(INFRA / "ctl" / "query"))

import saved_queries  # noqa: E402, its folder is named above
from saved_queries import Template, run  # noqa: E402, F401


def load() -> Template:
    return saved_queries.load((INFRA / "analytics.yaml").read_text())


def connect(archive: Path, template: Template, first_day: str = "") -> saved_queries.duckdb.DuckDBPyConnection:
    return saved_queries.connect(archive, template, first_day, views_as="TABLE")


def translate(sql: str, **changed: str | float) -> str:
    """Athena's SQL as DuckDB's, with some of its settings changed."""
    query = saved_queries.parse(sql)
    missing = set(changed)
    for setting in _settings(query):
        if setting.alias in changed:
            setting.set("this", exp.convert(changed[setting.alias]))
            missing.discard(setting.alias)
    assert not missing, f"the query has no settings {missing}"
    return saved_queries.translate(query)


def settings(sql: str) -> set[str]:
    """The names of a query's settings."""
    return {setting.alias for setting in _settings(saved_queries.parse(sql))}


def _settings(query: exp.Expression) -> Iterator[exp.Expression]:
    for cte in query.find_all(exp.CTE):
        if cte.alias == "settings":
            yield from cte.this.expressions
