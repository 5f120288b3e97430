"""The views and saved queries of infra/analytics.yaml, run by DuckDB over an archive folder.

The SQL stands in the template only. It is Athena's dialect; sqlglot translates it. As a program it reads from standard input
`{"template": TEXT, "archive": FOLDER, "sql": TEXT}` and prints `{"columns": [NAME, ...], "rows": [[VALUE, ...], ...]}`: so
`rendezvousctl query` uses it, which holds it and the template as text.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
import yaml
from sqlglot import exp

PARAMETERS = {"ArchiveBucket": "archive", "Name": "rendezvous", "AWS::AccountId": "123456789012"}


@dataclass(frozen=True)
class Table:
    """A raw table or a view: its columns with their Hive types, partition columns last."""

    # Those that are in the files.
    stored: dict[str, str]
    partitions: dict[str, str]

    @property
    def columns(self) -> dict[str, str]:
        return self.stored | self.partitions


@dataclass(frozen=True)
class View(Table):
    sql: str
    # The columns as the engine knows them, in the JSON beside the SQL.
    engine_columns: dict[str, str]


@dataclass(frozen=True)
class Template:
    tables: dict[str, Table]
    views: dict[str, View]
    queries: dict[str, str]

    def raw_table(self, view: str) -> str:
        """The one raw table that a view reads."""
        (table,) = {table.name for table in parse(self.views[view].sql).find_all(exp.Table)}
        return table

    def read_by(self, query: exp.Expression) -> Template:
        """Only what this query reads: to look at the files of a table takes seconds where there are thousands."""
        names = {table.name for table in query.find_all(exp.Table)}
        views = {name: view for name, view in self.views.items() if name in names}
        names |= {self.raw_table(name) for name in views}
        return Template({name: table for name, table in self.tables.items() if name in names}, views, {})


def load(text: str) -> Template:
    """Reads the text of the template."""
    template = yaml.load(text, Loader=_Loader)  # noqa: S506, a SafeLoader
    tables: dict[str, Table] = {}
    views: dict[str, View] = {}
    queries: dict[str, str] = {}
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::Athena::NamedQuery":
            queries[properties["Name"]] = properties["QueryString"]
        elif resource["Type"] == "AWS::Glue::Table":
            table = properties["TableInput"]
            columns = [
                {column["Name"]: column["Type"] for column in described}
                for described in (table["StorageDescriptor"]["Columns"], table["PartitionKeys"])
            ]
            if table["TableType"] == "VIRTUAL_VIEW":
                text = _resolve(table["ViewOriginalText"])
                encoded = re.fullmatch(r"/\* Presto View: (\S+) \*/", text)
                assert encoded, text
                view = json.loads(base64.b64decode(encoded[1]))
                engine = {column["name"]: column["type"] for column in view["columns"]}
                views[table["Name"]] = View(*columns, view["originalSql"], engine)
            else:
                tables[table["Name"]] = Table(*columns)
    return Template(tables, views, queries)


def connect(
    archive: Path, template: Template, first_day: str = "", views_as: str = "VIEW"
) -> duckdb.DuckDBPyConnection:
    """Opens an archive folder: its files as the raw tables, and the template's views over them.

    With a first day, as if no file had arrived before it. With views as TABLE the copies are found once and not again by each of
    many queries.
    """
    connection = duckdb.connect()
    # Athena's sessions are in UTC.
    connection.execute("SET TimeZone = 'UTC'")
    # It would be drawn on standard output, where a program that is no file counts as an interactive session.
    connection.execute("SET enable_progress_bar = false")
    # A query reads a table more than once, and a year is in thousands of files.
    connection.execute("SET parquet_metadata_cache = true")
    for name, table in template.tables.items():
        folder = archive / name.removeprefix("raw_")
        columns = ", ".join(f"{column} {_duckdb_type(kind)}" for column, kind in table.columns.items())
        if not any(folder.glob("*/*/*.parquet")):
            connection.execute(f"CREATE TABLE {name} ({columns})")
            continue
        # As in Athena, a column that a file does not have, since it was written before the column was, is null there.
        connection.execute(f"CREATE TABLE {name}_columns ({columns})")
        files = (
            f"SELECT * FROM read_parquet('{folder}/*/*/*.parquet', union_by_name = true, "
            f"hive_partitioning = true, hive_types = {{'date': VARCHAR, 'hour': INTEGER}}) WHERE date >= '{first_day}'"
        )
        source = f"SELECT {', '.join(table.columns)} FROM (FROM {name}_columns UNION ALL BY NAME {files})"
        connection.execute(f"CREATE VIEW {name} AS {source}")
    for name, view in template.views.items():
        connection.execute(f"CREATE {views_as} {name} AS {translate(parse(view.sql))}")
    return connection


def parse(sql: str) -> exp.Expression:
    """Reads Athena's SQL."""
    return sqlglot.parse_one(sql, read="athena", error_level=sqlglot.ErrorLevel.RAISE)


def translate(query: exp.Expression) -> str:
    """Athena's SQL as DuckDB's."""
    return query.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)


def run(connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The lines of a result."""
    result = connection.execute(sql, values)
    names = [column[0] for column in result.description]
    return [dict(zip(names, line, strict=True)) for line in result.fetchall()]


class _Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions, `!Sub` as `Fn::Sub`."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def _resolve(value: Any) -> str:
    """What CloudFormation makes of the few functions that a view's text uses."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Base64":
        return base64.b64encode(_resolve(argument).encode()).decode()
    assert function == "Fn::Sub", function
    text, variables = argument if isinstance(argument, list) else (argument, {})
    known = PARAMETERS | {"Database": "rendezvous"} | {name: _resolve(each) for name, each in variables.items()}
    return re.sub(r"\$\{([\w:]+)\}", lambda match: known[match[1]], text)


def _duckdb_type(hive: str) -> str:
    return {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER", "double": "DOUBLE", "array<string>": "VARCHAR[]"}[hive]


def _plain(value: Any) -> Any:
    """A value as JSON holds it; instants as Athena writes them."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def main() -> None:
    asked = json.load(sys.stdin)
    try:
        query = parse(asked["sql"])
        connection = connect(Path(asked["archive"]), load(asked["template"]).read_by(query))
        result = connection.execute(translate(query))
        columns = [name for name, *_ in result.description]
        rows = [[_plain(value) for value in row] for row in result.fetchall()]
    except (duckdb.Error, sqlglot.errors.SqlglotError) as error:
        sys.exit(str(error))
    json.dump({"columns": columns, "rows": rows}, sys.stdout)


if __name__ == "__main__":
    main()
