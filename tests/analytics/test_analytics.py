"""Every view and saved query of infra/analytics.yaml, against figures computed another way.

    python -m unittest discover --start-directory tests/analytics

runs over a small archive full of accidents. `ARCHIVE=folder` before it runs the same tests over that archive, and `FLIGHTS=count`
also those about the flights of 2013, of which the archive must then hold so many.

It is one file because all cases share the archive, its rows and the helpers that compute the expected lines.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import unittest
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import archive
import numpy as np
import polars as pl
import queries
import sqlglot
from scipy.stats import ks_2samp
from sklearn.metrics import brier_score_loss, roc_auc_score
from sqlglot import exp

ENDPOINT = archive.ENDPOINT
CANARY = "mlp@1"
PERIODS = {"a day": 10, "a month": 7}
TEMPLATE = queries.load()
# The names that Athena takes for an own one only in double quotes:
# https://docs.aws.amazon.com/athena/latest/ug/reserved-words.html, for SELECT and views.
KEYWORDS = frozenset(
    """ALTER AND AS BETWEEN BY CASE CAST CONSTRAINT CREATE CROSS CUBE CURRENT_CATALOG CURRENT_DATE CURRENT_PATH CURRENT_SCHEMA
    CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DEALLOCATE DELETE DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCEPT EXECUTE EXISTS
    EXTRACT FALSE FIRST FOR FROM FULL GROUP GROUPING HAVING IN INNER INSERT INTERSECT INTO IS JOIN JSON_ARRAY JSON_EXISTS
    JSON_OBJECT JSON_QUERY JSON_TABLE JSON_VALUE LAST LEFT LIKE LISTAGG LOCALTIME LOCALTIMESTAMP NATURAL NORMALIZE NOT NULL OF
    ON OR ORDER OUTER PREPARE RECURSIVE RIGHT ROLLUP SELECT SKIP TABLE THEN TRIM TRUE UESCAPE UNION UNNEST USING VALUES WHEN
    WHERE WITH""".split()
)
# The views of which a filter on the date reads only the days that it names, and those before.
PRUNABLE = ("requests", "scores", "decisions", "outcomes_by_day")


def setUpModule() -> None:
    global ARCHIVE, CONNECTION, FOLDER, ROWS, FIRST_DAY, LAST_DAY
    FOLDER = None
    if "ARCHIVE" in os.environ:
        ARCHIVE = Path(os.environ["ARCHIVE"])
    else:
        FOLDER = tempfile.TemporaryDirectory()
        ARCHIVE = Path(FOLDER.name)
        archive.write(ARCHIVE)
    CONNECTION = queries.connect(ARCHIVE, TEMPLATE)
    ROWS = Rows(ARCHIVE)
    days = ROWS.scores["date"]
    FIRST_DAY, LAST_DAY = str(days.min()), str(days.max())


def tearDownModule() -> None:
    CONNECTION.close()
    if FOLDER:
        FOLDER.cleanup()


class Rows:
    """The archive's entities, read by Polars: what the views must show."""

    def __init__(self, folder: Path) -> None:
        self.requests = self._once(folder, "requests", ["request_id"])
        self.scores = self._once(folder, "scores", ["request_id", "model"])
        self.decisions = self._once(folder, "decisions", ["request_id"])
        self.outcomes = self._once(folder, "outcomes", ["endpoint", "request_id"], latest=True)

    def _once(self, folder: Path, table: str, key: list[str], *, latest: bool = False) -> pl.DataFrame:
        return (
            pl.read_parquet(f"{folder}/{table}/*/*/*.parquet", hive_schema={"date": pl.String, "hour": pl.Int32})
            # Numbers of up to 128 digits, as texts of one length.
            .with_columns(number=pl.col("sequence_number").str.zfill(128))
            .sort("arrived_us", "number", descending=latest)
            .unique(key, keep="first", maintain_order=True)
            .drop("number")
        )

    def of(self, table: str, first_day: str, last_day: str) -> list[dict[str, Any]]:
        """The rows of the endpoint and these days, without the long texts."""
        return [row for row in self._all(table) if first_day <= row["date"] <= last_day]

    @cache  # noqa: B019, there is one
    def _all(self, table: str) -> list[dict[str, Any]]:
        rows: pl.DataFrame = getattr(self, table).filter(pl.col("endpoint") == ENDPOINT)
        long = ("endpoint", "arm", "key", "traceparent", "payload", "shard", "sequence_number", "seen", "failure_message")
        return rows.drop(*long, "started_us", "finished_us", strict=False).to_dicts()

    def truths(self) -> dict[str, float]:
        """The outcomes that are known to be 0 or 1."""
        rows = self.outcomes.filter(pl.col("endpoint") == ENDPOINT, pl.col("value").is_in([0.0, 1.0]))
        return dict(zip(rows["request_id"], rows["value"], strict=True))


class Case(unittest.TestCase):
    def run_query(self, name: str, **changed: str | float) -> list[dict[str, Any]]:
        """Runs a saved query over all days of the archive, or with other settings."""
        sql = TEMPLATE.queries[name]
        known = queries.settings(sql)
        defaults = {"endpoint": ENDPOINT, "first_day": FIRST_DAY, "last_day": LAST_DAY}
        chosen = {key: value for key, value in defaults.items() if key in known} | changed
        return queries.run(CONNECTION, queries.translate(sql, **chosen))

    def spans(self) -> list[tuple[str, str]]:
        """All days, and a few days of them, with days before and after."""
        days = sorted(set(ROWS.scores["date"]))
        return [(FIRST_DAY, LAST_DAY), (days[1], days[2]), (days[-2], days[-2])]

    def assert_same(
        self, found: list[dict[str, Any]], expected: Iterable[dict[str, Any]], key: tuple[str, ...], tolerance: float = 1e-9
    ) -> None:
        """Same lines, in any order, with the same columns in the same order, and figures equal up to rounding."""
        by_key = {tuple(line[name] for name in key): line for line in expected}
        self.assertEqual(len(found), len({tuple(line[name] for name in key) for line in found}), "lines of one key")
        self.assertEqual({tuple(line[name] for name in key) for line in found}, set(by_key))
        for line in found:
            other = by_key[tuple(line[name] for name in key)]
            self.assertEqual(list(line), list(other))
            for column, value in line.items():
                with self.subTest(line={name: line[name] for name in key}, column=column):
                    if isinstance(value, float) and isinstance(other[column], (int, float)):
                        if not (math.isnan(value) and math.isnan(other[column])):
                            self.assertAlmostEqual(value, other[column], delta=tolerance * max(1, abs(value)))
                    else:
                        self.assertEqual(value, other[column])


class TheTemplate(unittest.TestCase):
    def test_each_query_says_first_which_question_it_answers(self) -> None:
        for name, sql in TEMPLATE.queries.items():
            with self.subTest(name):
                self.assertRegex(sql, r"\A-- .+\?\n--\n-- .+\n")
                self.assertIn("WITH settings AS", sql)

    def test_a_name_that_is_a_keyword_of_athena_is_in_double_quotes(self) -> None:
        def bare(sql: str) -> set[str]:
            names = sqlglot.parse_one(sql, read="athena").find_all(exp.Identifier)
            return {name.name for name in names if not name.quoted and name.name.upper() in KEYWORDS}

        self.assertEqual(bare("SELECT skip, payload FROM requests"), {"skip"})
        texts = {name: view.sql for name, view in TEMPLATE.views.items()} | TEMPLATE.queries
        for name, sql in texts.items():
            self.assertEqual(bare(sql), set(), name)

    def test_views_declare_the_columns_that_their_sql_gives(self) -> None:
        hive = {"varchar": "string", "integer": "int", "timestamp(3)": "timestamp", "array(varchar)": "array<string>"}
        engine = {
            "VARCHAR": "varchar", "INTEGER": "integer", "BIGINT": "bigint", "DOUBLE": "double",
            "TIMESTAMP_MS": "timestamp(3)", "TIMESTAMP": "timestamp(3)", "VARCHAR[]": "array(varchar)",
        }  # fmt: skip
        for name, view in TEMPLATE.views.items():
            with self.subTest(name):
                self.assertEqual(
                    [(column, hive.get(kind, kind)) for column, kind in view.engine_columns.items()],
                    list(view.columns.items()),
                )
                described = CONNECTION.execute(f"DESCRIBE {name}").fetchall()
                self.assertEqual(
                    [(column, engine[str(kind)]) for column, kind, *_ in described], list(view.engine_columns.items())
                )

    def test_raw_tables_declare_the_columns_of_the_files(self) -> None:
        hive = {pl.String: "string", pl.Int64: "bigint", pl.Int32: "int", pl.Float64: "double", pl.List: "array<string>"}
        for name, table in TEMPLATE.tables.items():
            for file in itertools.islice(sorted((ARCHIVE / name.removeprefix("raw_")).glob("*/*/*.parquet")), 20):
                with self.subTest(file=str(file)):
                    schema = pl.read_parquet_schema(file)
                    columns = {column: hive[kind.base_type()] for column, kind in schema.items()}
                    self.assertEqual(columns, table.stored)

    def test_a_filter_on_the_date_can_be_applied_before_copies_are_found(self) -> None:
        """A filter passes a window only by the columns that partition it, and a join only by those that are compared."""
        for name in PRUNABLE:
            with self.subTest(name):
                view = sqlglot.parse_one(TEMPLATE.views[name].sql, read="athena")
                for window in view.find_all(exp.Window):
                    self.assertIn("date", [column.name for column in window.args["partition_by"]])
                for join in view.find_all(exp.Join):
                    self.assertIn("yesterday.date = today.date", join.args["on"].sql())

    def test_every_query_reads_only_views_that_a_filter_on_the_date_prunes_and_has_one(self) -> None:
        for name, sql in TEMPLATE.queries.items():
            query = sqlglot.parse_one(sql, read="athena")
            own = {cte.alias for cte in query.find_all(exp.CTE)}
            tables = [table for table in query.find_all(exp.Table) if table.name not in own]
            self.assertTrue(tables, name)
            for table in tables:
                with self.subTest(query=name, table=table.name):
                    self.assertIn(table.name, PRUNABLE)
                    where = table.find_ancestor(exp.Select).args["where"].this
                    filters = [
                        condition
                        for condition in where.flatten() if isinstance(condition, exp.Between | exp.GTE)
                        and condition.this.name == "date" and condition.this.table in ("", table.name)
                    ]  # fmt: skip
                    self.assertTrue(filters or _is_either_of_spans(where), where.sql())


class TheViews(Case):
    def test_each_entity_is_there_once_as_it_first_arrived(self) -> None:
        for table in ("requests", "scores", "decisions", "outcomes"):
            rows: pl.DataFrame = getattr(ROWS, table)
            with self.subTest(table):
                self.assertEqual(CONNECTION.execute(f"SELECT count(*) FROM {table}").fetchone(), (len(rows),))
                key = ("endpoint", "request_id", "model") if table == "scores" else ("endpoint", "request_id")
                # All of a small archive, and some thousand rows of a large one.
                ids = rows["request_id"].unique().sort().gather_every(1 + len(rows) // 10_000)
                some = rows.filter(pl.col("request_id").is_in(ids.implode())).to_dicts()
                expected = {tuple(row[name] for name in key): row for row in some}
                chosen = f"SELECT * FROM {table} WHERE request_id IN (SELECT unnest(?))"
                found = queries.run(CONNECTION, chosen, [ids.to_list()])
                self.assertEqual(len(found), len(expected))
                for line in found:
                    row = expected[tuple(line[name] for name in key)]
                    for column, value in line.items():
                        if column.endswith("_at"):
                            micros = value.replace(tzinfo=UTC).timestamp() * 1e6
                            self.assertLessEqual(abs(micros - row[column.removesuffix("_at") + "_us"]), 1000)
                        elif column in row:
                            self.assertEqual(value, row[column], column)

    def test_a_filter_on_the_date_changes_no_row(self) -> None:
        """The view over the files of two days shows of the second what the view over everything does."""
        for name in PRUNABLE:
            raw = TEMPLATE.raw_table(name)
            days = [day for (day,) in CONNECTION.execute(f"SELECT DISTINCT date FROM {raw} ORDER BY date").fetchall()]
            every = f"SELECT request_id FROM ({queries.translate(TEMPLATE.views[name].sql)}) WHERE date = ? ORDER BY ALL"
            for day in days[:: max(1, len(days) // 4)]:
                before = _next_day(day, -1)
                view = sqlglot.parse_one(TEMPLATE.views[name].sql, read="athena")
                for table in list(view.find_all(exp.Table)):
                    if table.name == raw:
                        kept = sqlglot.select("*").from_(table.name).where(f"date IN ('{before}', '{day}')")
                        table.replace(kept.subquery())
                narrow = f"SELECT request_id FROM ({view.sql(dialect='duckdb')}) WHERE date = ? ORDER BY ALL"
                with self.subTest(view=name, day=day):
                    expected = CONNECTION.execute(every, [day]).fetchall()
                    self.assertEqual(CONNECTION.execute(narrow, [day]).fetchall(), expected)

    def test_outcomes_by_day_has_the_last_outcome_of_each_day(self) -> None:
        last = (
            pl.read_parquet(f"{ARCHIVE}/outcomes/*/*/*.parquet", hive_schema={"date": pl.String, "hour": pl.Int32})
            .with_columns(number=pl.col("sequence_number").str.zfill(128))
            .sort("arrived_us", "number", descending=True)
            .unique(["date", "endpoint", "request_id"], keep="first", maintain_order=True)
        )
        columns = ["date", "hour", "endpoint", "request_id", "outcome", "value"]
        found = CONNECTION.execute(f"SELECT {', '.join(columns)} FROM outcomes_by_day ORDER BY ALL").fetchall()
        self.assertEqual(found, last.select(columns).sort(columns).rows())
        # Over all days the newest of each request is the one that counts.
        newest = "SELECT *, row_number() OVER (PARTITION BY endpoint, request_id ORDER BY date DESC) AS newest"
        for one, other in (("outcomes", "newest"), ("newest", "outcomes")):
            self.assertEqual(
                CONNECTION.execute(
                    f"WITH newest AS (SELECT * EXCLUDE newest FROM ({newest} FROM outcomes_by_day) WHERE newest = 1) "
                    f"SELECT count(*) FROM (SELECT * FROM {one} EXCEPT SELECT * FROM {other})"
                ).fetchone(),
                (0,),
            )


class TheFiles(unittest.TestCase):
    def test_a_column_that_a_file_does_not_have_is_null_there(self) -> None:
        """Archives that were written before the column was can be read, also together with newer files."""
        file = min(ARCHIVE.glob("requests/*/*/*.parquet"))
        rows = pl.read_parquet(file, hive_partitioning=False).with_columns(skip=pl.lit(["big@1"]))
        with tempfile.TemporaryDirectory() as name:
            hour = Path(name, *file.relative_to(ARCHIVE).parts[:-1])
            hour.mkdir(parents=True)
            for written, expected in ((rows.drop("skip"), [(None,)]), (rows, [(None,), (["big@1"],)])):
                written.write_parquet(hour / f"{len(expected)}.parquet")
                connection = queries.connect(Path(name), TEMPLATE)
                self.addCleanup(connection.close)
                found = connection.execute("SELECT DISTINCT skip FROM raw_requests ORDER BY skip NULLS FIRST").fetchall()
                self.assertEqual(found, expected)


class TheQueries(Case):
    def test_files_that_arrived_before_the_first_day_change_no_answer(self) -> None:
        """But those of the day before, in which copies are looked for."""
        days = sorted(set(ROWS.scores["date"]))
        first = days[len(days) // 2]
        recent = queries.connect(ARCHIVE, TEMPLATE, _next_day(first, -1))
        self.addCleanup(recent.close)
        request = next(row["request_id"] for row in ROWS.of("requests", first, first) if row["request_id"] in ROWS.truths())
        chosen = {"first_day": first, "endpoint": ENDPOINT, "last_day": LAST_DAY, "request_id": request, "canary": CANARY}
        chosen |= {"reference_first_day": first, "reference_last_day": LAST_DAY}
        for name in ("leaderboard", "disagreements", "champion-silence", "one-request", "calibration"):
            with self.subTest(name):
                sql = TEMPLATE.queries[name]
                known = {key: value for key, value in chosen.items() if key in queries.settings(sql)}
                whole, narrow = (
                    queries.run(connection, queries.translate(sql, **known)) for connection in (CONNECTION, recent)
                )
                self.assertEqual(len(whole), len(narrow))
                # In another archive the champion may have answered every request.
                self.assertTrue(whole or not FOLDER)
                for line, other in zip(whole, narrow, strict=True):
                    for column, value in line.items():
                        if isinstance(value, float):
                            self.assertAlmostEqual(value, other[column], delta=1e-9 * max(1, abs(value)))
                        elif "lowest_model" not in column and "highest_model" not in column:
                            self.assertEqual(value, other[column], column)

    def test_leaderboard(self) -> None:
        truths = ROWS.truths()
        scores = ROWS.of("scores", FIRST_DAY, LAST_DAY)
        decisions = {row["request_id"]: row for row in ROWS.of("decisions", FIRST_DAY, LAST_DAY)}
        values = {(row["request_id"], row["model"]): row["value"] for row in scores}
        for period, length in PERIODS.items():
            expected = []
            for (when, model), rows in _groups(scores, lambda row: (row["date"][:length], row["model"])):
                failures = [row["failure_kind"] for row in rows if row["failure_kind"] is not None]
                labelled = [row for row in rows if row["value"] is not None and row["request_id"] in truths]
                value = np.array([row["value"] for row in labelled])
                truth = np.array([truths[row["request_id"]] for row in labelled])
                differences = []
                for row in rows:
                    decision = decisions.get(row["request_id"])
                    champion = decision and values.get((row["request_id"], decision["champion"]))
                    if row["value"] is not None and champion is not None:
                        differences.append(row["value"] - champion)
                expected.append({
                    "period": when, "model": model,
                    "scored": len(rows) - len(failures),
                    "failed": len(failures) - failures.count("expired"), "expired": failures.count("expired"),
                    "won": sum(decisions.get(row["request_id"], {}).get("model") == model for row in rows),
                    "labelled": len(labelled),
                    "brier": brier_score_loss(truth, value, pos_label=1) if labelled else None,
                    "log_loss": _log_loss(truth, value),
                    "auc": roc_auc_score(truth, value) if len(set(truth)) == 2 else None,
                    "compared": len(differences),
                    "distance": _mean(np.abs(differences)), "bias": _mean(differences),
                })  # fmt: skip
            with self.subTest(period):
                self.assert_same(self.run_query("leaderboard", period_length=length), expected, ("period", "model"))

    def test_agreement(self) -> None:
        by_model: dict[str, dict[str, float]] = {}
        for row in ROWS.of("scores", FIRST_DAY, LAST_DAY):
            if row["value"] is not None:
                by_model.setdefault(row["model"], {})[row["request_id"]] = row["value"]
        expected = []
        for one, other in itertools.combinations(sorted(by_model), 2):
            both = by_model[one].keys() & by_model[other].keys()
            a, b = (np.array([by_model[model][request] for request in both]) for model in (one, other))
            expected.append({
                "model": one, "other": other, "requests": len(both),
                "agreement": np.mean((a >= 0.3) == (b >= 0.3)), "correlation": np.corrcoef(a, b)[0, 1],
                "distance": np.mean(np.abs(a - b)), "bias": np.mean(a - b),
            })  # fmt: skip
        self.assert_same(self.run_query("agreement", threshold=0.3), expected, ("model", "other"), 1e-7)

    def test_disagreements(self) -> None:
        labelled = {row["request_id"]: row["outcome"] for row in ROWS.outcomes.to_dicts() if row["endpoint"] == ENDPOINT}
        payloads = dict(zip(ROWS.requests["request_id"], ROWS.requests["payload"], strict=True))
        scores = [row for row in ROWS.of("scores", FIRST_DAY, LAST_DAY) if row["value"] is not None]
        expected = []
        for request, rows in _groups(scores, lambda row: row["request_id"]):
            low, high = min(row["value"] for row in rows), max(row["value"] for row in rows)
            expected.append((request in labelled, low - high, request, low, high, {row["model"]: row["value"] for row in rows}))
        expected.sort(key=lambda line: line[:3])
        found = self.run_query("disagreements")
        self.assertEqual([line["request_id"] for line in found], [request for _, _, request, *_ in expected[:100]])
        for line, (_, spread, request, low, high, models) in zip(found, expected, strict=False):
            self.assertEqual(
                (line["spread"], line["lowest"], line["highest"], line["models"]), (-spread, low, high, len(models))
            )
            # Any of the models that share the extreme.
            self.assertEqual((models[line["lowest_model"]], models[line["highest_model"]]), (low, high))
            self.assertEqual(line["payload"], payloads.get(request))
            self.assertEqual(line["outcome"], labelled.get(request))

    def test_time_to_answer(self) -> None:
        for first, last in self.spans():
            scores = [row for row in ROWS.of("scores", first, _next_day(last)) if row["failure_kind"] is None]
            waits = {(row["request_id"], row["model"]): row["arrived_us"] - row["received_us"] for row in scores}
            models: dict[tuple[str, int], set[str]] = {}
            for row in scores:
                models.setdefault((row["date"], row["config"]), set()).add(row["model"])
            by_model: dict[str, list[float]] = {}
            for row in ROWS.of("requests", first, last):
                for model in models.get((row["date"], row["config"]), ()):
                    by_model.setdefault(model, []).append(waits.get((row["request_id"], model), math.inf))
            expected = [
                {"model": model, "requests": len(waited)}
                | {
                    f"by_{ms}_ms": sum(wait <= ms * 1000 for wait in waited) / len(waited)
                    for ms in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
                }
                for model, waited in by_model.items()
            ]
            with self.subTest(first=first, last=last):
                self.assert_same(self.run_query("time-to-answer", first_day=first, last_day=last), expected, ("model",))

    def test_decision_time(self) -> None:
        by_day = dict(_groups(ROWS.of("decisions", FIRST_DAY, LAST_DAY), lambda row: row["date"]))
        found = self.run_query("decision-time")
        self.assertEqual([line["date"] for line in found], sorted(by_day))
        for line in found:
            rows = by_day[line["date"]]
            waits = [(row["decided_us"] - row["received_us"]) / 1e3 for row in rows]
            self.assertEqual(line["decisions"], len(rows))
            self.assertAlmostEqual(line["longest_ms"], max(waits))
            late = sum(row["decided_us"] > row["deadline_us"] for row in rows)
            self.assertAlmostEqual(line["past_deadline"], late / len(rows))
            for column, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
                # Both engines keep a digest: near in rank, not in value. Few rows add a row's width.
                slack = 0.02 + 1 / len(rows)
                low = np.quantile(waits, max(0, share - slack), method="lower")
                high = np.quantile(waits, min(1, share + slack), method="higher")
                self.assertTrue(low <= line[column] <= high, f"{line['date']}: {column} {line[column]} not in {low} to {high}")

    def test_who_answered(self) -> None:
        expected = []
        for (day, hour), rows in _groups(ROWS.of("decisions", FIRST_DAY, LAST_DAY), lambda row: (row["date"], row["hour"])):
            fallbacks = sum(row["kind"] in ("fallback", "none") for row in rows)
            for (kind, reason, model), alike in _groups(rows, lambda row: (row["kind"], row["reason"], row["model"])):
                expected.append({
                    "date": day, "hour": hour, "kind": kind, "reason": reason, "model": model, "decisions": len(alike),
                    "share": len(alike) / len(rows), "fallback_rate": fallbacks / len(rows),
                })  # fmt: skip
        self.assert_same(self.run_query("who-answered"), expected, ("date", "hour", "kind", "reason", "model"))

    def test_champion_silence(self) -> None:
        truths = ROWS.truths()
        for first, last in self.spans():
            values = {(row["request_id"], row["model"]): row["value"] for row in ROWS.of("scores", first, _next_day(last))}
            replaced = [row for row in ROWS.of("decisions", first, last) if row["kind"] != "champion"]
            expected = []
            for (reason, model), rows in _groups(replaced, lambda row: (row["reason"], row["model"])):
                late = [(row, values.get((row["request_id"], row["champion"]))) for row in rows]
                late = [(row, value) for row, value in late if value is not None]
                both = [
                    (truths[row["request_id"]], row["value"], value)
                    for row, value in late
                    if row["value"] is not None and row["request_id"] in truths
                ]
                truth, given, champion = np.array(both).reshape(-1, 3).T
                expected.append({
                    "reason": reason, "model": model, "decisions": len(rows), "late": len(late), "compared": len(both),
                    "given_brier": _mean((given - truth) ** 2), "champion_brier": _mean((champion - truth) ** 2),
                    "brier_cost": _mean((given - truth) ** 2 - (champion - truth) ** 2),
                    "given_log_loss": _log_loss(truth, given), "champion_log_loss": _log_loss(truth, champion),
                })  # fmt: skip
            with self.subTest(first=first, last=last):
                found = self.run_query("champion-silence", first_day=first, last_day=last)
                self.assert_same(found, expected, ("reason", "model"))

    def test_drift(self) -> None:
        days = sorted({row["date"] for row in ROWS.of("scores", FIRST_DAY, LAST_DAY)})
        # Few reference days before the period, by the day; and many of its own, by the month.
        for reference_last, first, length in ((days[1], days[2], 10), (days[len(days) // 2], days[0], 7)):
            found = self.run_query(
                "drift", canary=CANARY, reference_first_day=days[0], reference_last_day=reference_last,
                first_day=first, period_length=length,
            )  # fmt: skip
            with self.subTest(first=first):
                self.assert_same(found, _drift(first, days[0], reference_last, length), ("period", "model"))

    def test_one_request(self) -> None:
        failed = [row["request_id"] for row in ROWS.of("scores", FIRST_DAY, LAST_DAY) if row["failure_kind"]]
        for request in [min(ROWS.truths()), *failed[:3]]:

            def of(table: str, request: str = request) -> list[dict[str, Any]]:
                return getattr(ROWS, table).filter(pl.col("request_id") == request).to_dicts()

            line = {"event": None, "after_ms": None, "took_ms": None, "model": None, "detail": None, "content": None}
            expected = [line | {"event": "request", "after_ms": 0.0, "content": row["payload"]} for row in of("requests")]
            expected += [
                line | {
                    "event": "failure" if row["failure_kind"] else "score", "model": row["model"],
                    "after_ms": (row["arrived_us"] - row["received_us"]) / 1e3,
                    "took_ms": (row["finished_us"] - row["started_us"]) / 1e3,
                    "detail": row["failure_kind"], "content": row["score"] or row["failure_message"],
                }
                for row in of("scores")
            ]  # fmt: skip
            expected += [
                line | {
                    "event": "decision", "model": row["model"], "after_ms": (row["decided_us"] - row["received_us"]) / 1e3,
                    "detail": f"{row['kind']}, {row['reason']}", "content": row["score"],
                }
                for row in of("decisions")
            ]  # fmt: skip
            expected += [line | {"event": "outcome", "content": row["outcome"]} for row in of("outcomes")]
            found = self.run_query("one-request", request_id=request)
            times = [line["after_ms"] for line in found if line["after_ms"] is not None]
            self.assertEqual(times, sorted(times))
            for line in found:
                self.assertIsNotNone(line.pop("happened_at"))
            order: Callable[[dict[str, Any]], str] = lambda line: str(list(line.values()))  # noqa: E731
            self.assertEqual(sorted(found, key=order), sorted(expected, key=order))

    def test_gaps(self) -> None:
        for first, last in self.spans():
            with self.subTest(first=first, last=last):
                found = self.run_query("gaps", first_day=first, last_day=last)
                self.assert_same(found, _gaps(first, last), ("gap", "model", "first_request"))

    def test_calibration(self) -> None:
        truths = ROWS.truths()
        scores = [
            row
            for row in ROWS.of("scores", FIRST_DAY, LAST_DAY)
            if row["value"] is not None and row["request_id"] in truths
        ]
        for period, length in PERIODS.items():
            expected = []
            for (when, model), rows in _groups(scores, lambda row: (row["date"][:length], row["model"])):
                value = np.array([row["value"] for row in rows])
                truth = np.array([truths[row["request_id"]] for row in rows])
                decile = 1 + 10 * np.searchsorted(np.sort(value), value, side="left") // len(value)
                for number in [None, *sorted(set(decile.tolist()))]:
                    chosen = slice(None) if number is None else decile == number
                    predicted, observed = value[chosen], truth[chosen]
                    expected.append({
                        "period": when, "model": model, "decile": number, "scores": len(predicted),
                        "predicted": predicted.mean(), "observed": observed.mean(), "gap": (predicted - observed).mean(),
                        "noise": math.sqrt((predicted * (1 - predicted)).mean() / len(predicted)),
                    })  # fmt: skip
            with self.subTest(period):
                self.assert_same(
                    self.run_query("calibration", period_length=length), expected, ("period", "model", "decile")
                )


class TheSmallArchive(Case):
    """That it holds what the others are tested with."""

    def setUp(self) -> None:
        if not FOLDER:
            self.skipTest("another archive is tested")

    def test_rows_stand_in_it_again_in_the_same_hour_in_another_and_on_the_next_day(self) -> None:
        for table in ("requests", "scores"):
            key = "request_id, model" if table == "scores" else "request_id"
            counts = "count(*), count(DISTINCT date || hour), count(DISTINCT date)"
            found = CONNECTION.execute(f"SELECT DISTINCT {counts} FROM raw_{table} GROUP BY {key}").fetchall()
            with self.subTest(table):
                self.assertLessEqual({(2, 1, 1), (2, 2, 1), (2, 2, 2)}, set(found))

    def test_every_query_has_something_to_show(self) -> None:
        self.assertEqual(len({line["gap"] for line in self.run_query("gaps")}), 5)
        self.assertTrue(any(line["compared"] > 10 for line in self.run_query("champion-silence")))
        self.assertEqual({line["kind"] for line in self.run_query("who-answered")}, {"champion", "stand_in", "fallback"})
        self.assertTrue(any(0 < line["past_deadline"] < 1 for line in self.run_query("decision-time")))
        self.assertEqual({line["outcome"] is None for line in self.run_query("disagreements")}, {True})
        for line in self.run_query("leaderboard", period_length=7):
            self.assertTrue(all(value is not None for value in line.values()), line)
            self.assertTrue(line["failed"] and line["scored"], line)


class TheFlightsOf2013(Case):
    """What a year of real flights must show, see the models' training."""

    def setUp(self) -> None:
        if "FLIGHTS" not in os.environ:
            self.skipTest("not said to be an archive of the flights of 2013")

    def test_every_flight_is_there_once_with_its_decision_its_outcome_and_a_score_of_each_model(self) -> None:
        flights = int(os.environ["FLIGHTS"])
        for view, expected in (("requests", 1), ("decisions", 1), ("outcomes", 1), ("scores", 5)):
            [(count,)] = CONNECTION.sql(f"SELECT count(*) FROM {view}").fetchall()
            self.assertEqual(count, flights * expected, view)

    def test_the_challenger_is_better_in_july_and_worse_in_november(self) -> None:
        lines = self.run_query("leaderboard", period_length=7)
        auc = {(line["period"], line["model"]): line["auc"] for line in lines}
        self.assertGreater(auc["2013-07", "gbt@1"], auc["2013-07", "logistic@1"])
        self.assertLess(auc["2013-11", "gbt@1"], auc["2013-11", "logistic@1"])

    def test_every_model_promises_too_many_delays_in_september_and_too_few_in_december(self) -> None:
        for line in self.run_query("calibration", period_length=7):
            if line["decile"] is None and line["period"] in ("2013-09", "2013-12"):
                with self.subTest(model=line["model"], month=line["period"]):
                    if line["period"] == "2013-09":
                        # .07 to .12 over all flights; the archive may hold a sample of them.
                        self.assertGreater(line["gap"], 0.07 - 2 * line["noise"])
                        self.assertLess(line["gap"], 0.12 + 2 * line["noise"])
                    else:
                        self.assertLess(line["gap"], -3 * line["noise"])

    def test_score_distributions_say_nothing_of_it(self) -> None:
        def psi(canary: str) -> dict[str, float]:
            lines = self.run_query(
                "drift", canary=canary, reference_first_day="2013-01-01", reference_last_day="2013-06-30",
                first_day="2013-07-01", last_day="2013-12-31", period_length=7,
            )  # fmt: skip
            return {line["period"]: line["psi"] for line in lines if line["against"] == "reference"}

        # The champion's hardly move at all; the canary's move most in summer, when the predictions are least wrong.
        self.assertLess(max(psi(archive.CHAMPION).values()), 0.1)
        canary = psi(CANARY)
        self.assertLess(max(canary["2013-09"], canary["2013-12"]), 0.1)
        self.assertGreater(canary["2013-08"], canary["2013-09"])


def _groups(rows: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> list[tuple[Any, list[dict[str, Any]]]]:
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.items())


def _is_either_of_spans(where: exp.Expression) -> bool:
    """Whether there is a condition of the form (date BETWEEN … OR date BETWEEN …)."""
    return any(
        all(isinstance(span, exp.Between) and span.this.name == "date" for span in either.flatten())
        for either in where.find_all(exp.Or)
    )


def _next_day(day: str, days: int = 1) -> str:
    return str(date.fromisoformat(day) + timedelta(days=days))


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _log_loss(truth: np.ndarray, value: np.ndarray) -> float | None:
    return _mean(-np.log(np.clip(np.where(truth == 1, value, 1 - value), 1e-15, 1 - 1e-15)))


def _drift(first: str, reference_first: str, reference_last: str, length: int) -> list[dict[str, Any]]:
    def values(first: str, last: str) -> list[dict[str, Any]]:
        return [row for row in ROWS.of("scores", first, last) if row["value"] is not None]

    reference = np.array([row["value"] for row in values(reference_first, reference_last) if row["model"] == CANARY])
    groups = {
        key: np.array([row["value"] for row in rows])
        for key, rows in _groups(values(first, LAST_DAY), lambda row: (row["date"][:length], row["model"]))
    }
    lines = []
    for (period, model), found in groups.items():
        base = reference if model == CANARY else groups.get((period, CANARY), np.array([]))
        line = {"period": period, "model": model, "against": "reference" if model == CANARY else "canary", "scores": len(found)}
        if not len(base):
            lines.append(line | {"psi": None, "ks": None})
            continue
        ordered = np.sort(base)
        shares = []
        for sample in (found, base):
            tenth = np.minimum(10 * np.searchsorted(ordered, sample, side="left") // len(base), 9)
            shares.append(np.bincount(tenth, minlength=10) / len(sample))
        present = (shares[0] > 0) | (shares[1] > 0)
        now, then = (np.maximum(share[present], 1e-4) for share in shares)
        psi = float(np.sum((now - then) * np.log(now / then)))
        # Only the p-value is asymptotic; the distance is exact.
        lines.append(line | {"psi": psi, "ks": ks_2samp(found, base, method="asymp").statistic})
    return lines


def _gaps(first: str, last: str) -> list[dict[str, Any]]:
    days = pl.col("date").is_between(pl.lit(_next_day(first, -1)), pl.lit(_next_day(last)))
    requests, scores, decisions = (
        table.filter(pl.col("endpoint") == ENDPOINT, days) for table in (ROWS.requests, ROWS.scores, ROWS.decisions)
    )
    expected = requests.join(scores.select("date", "config", "model").unique(), on=["date", "config"])
    scored_by = scores.select("request_id", "model", there=True)

    def absent(*tables: pl.DataFrame) -> pl.Expr:
        return ~pl.col("request_id").is_in(pl.concat(table["request_id"] for table in tables).unique().implode())

    entries = {
        "request without any score": requests.with_columns(missing=absent(scores)),
        "request without decision": requests.with_columns(missing=absent(decisions)),
        "request without a score of model": expected.join(
            scored_by, on=["request_id", "model"], how="left"
        ).with_columns(missing=pl.col("there").is_null()),
        "score without request": scores.with_columns(missing=absent(requests)),
        "decision without request or score": decisions.with_columns(missing=absent(requests, scores)),
    }  # fmt: skip
    lines = []
    for gap, table in entries.items():
        by_model = "model" in table.columns and gap != "decision without request or score"
        inside = table.filter(pl.col("date").is_between(pl.lit(first), pl.lit(last)))
        for model, alike in inside.partition_by("model", as_dict=True).items() if by_model else [((None,), inside)]:
            ordered = alike.sort(pl.col("arrived_us") // 1000, "request_id")
            runs = ordered.with_columns(run=pl.col("missing").rle_id()).filter("missing")
            for run in runs.partition_by("run"):
                rows = run.select("request_id", "arrived_us").to_dicts()
                lines.append({
                    "gap": gap, "model": model[0], "entries": len(rows),
                    "first_at": _at(rows[0]), "first_request": rows[0]["request_id"],
                    "last_at": _at(rows[-1]), "last_request": rows[-1]["request_id"],
                })  # fmt: skip
    return lines


def _at(row: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(row["arrived_us"] // 1000 / 1e3, UTC).replace(tzinfo=None)


if __name__ == "__main__":
    unittest.main()
