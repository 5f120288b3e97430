"""A small archive with every kind of accident in it, written the same way every time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import queries

ENDPOINT = "flight-delay"
CHAMPION = "logistic@1"
STAND_INS = ("timetable@1", "prior@1")
MODELS = (CHAMPION, *STAND_INS, "gbt@1", "mlp@1")
# Two months' ends, so that midnight, month and period boundaries lie within.
DAYS = [datetime(2025, month, day, tzinfo=UTC) for month, day in [(1, 30), (1, 31), (2, 1), (2, 2), (2, 27), (3, 1)]]
REQUESTS_A_DAY = 160

# The types of the template's columns.
TYPES = {"string": pl.String, "bigint": pl.Int64, "double": pl.Float64, "array<string>": pl.List(pl.String)}


def _schemas() -> dict[str, dict[str, Any]]:
    """The columns of each table's files."""
    return {
        name.removeprefix("raw_"): {column: TYPES[kind] for column, kind in table.stored.items()}
        for name, table in queries.load().tables.items()
    }


SCHEMAS = _schemas()

Row = dict[str, Any]


def write(folder: Path) -> None:
    """Writes the four tables, several files an hour."""
    tables: dict[str, list[Row]] = {table: [] for table in SCHEMAS}
    random = np.random.default_rng(2013)
    # Sequence numbers grow in length on the way, so that their order is not their texts'.
    sequence = iter(range(99_000, 10_000_000, 7))
    for day in DAYS:
        for number in range(REQUESTS_A_DAY):
            # From one minute before the day begins, most of them near midnight: 40 ms apart.
            seconds = -0.6 + 0.04 * number if number < 40 else 86_400 * number / REQUESTS_A_DAY
            _request(tables, random, sequence, ENDPOINT, day + timedelta(seconds=seconds))
        for number in range(20):
            _request(tables, random, sequence, "fraud", day + timedelta(hours=1, seconds=number))
    _lose(tables, random)
    for table, rows in tables.items():
        _write_table(folder / table, SCHEMAS[table], [*rows, *_again(table, rows, random, sequence)])


def _request(
    tables: dict[str, list[Row]], random: np.random.Generator, sequence: Iterator[int], endpoint: str, at: datetime
) -> None:
    request_id = str(uuid.UUID(bytes=random.bytes(16), version=4))
    received = round(at.timestamp() * 1e6) + int(random.integers(0, 500))
    truth = random.random()
    envelope = {
        "request_id": request_id, "endpoint": endpoint, "config": 2 if at >= DAYS[2] else 1, "arm": "main",
        "key": request_id, "received_us": received, "deadline_us": received + 200_000,
        "traceparent": None if random.random() < 0.5 else "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }  # fmt: skip

    def place(arrived: int) -> Row:
        return {"shard": "shardId-000000000000", "sequence_number": str(next(sequence)), "arrived_us": arrived // 1000 * 1000}

    tables["requests"].append({**envelope, "payload": f'{{ "truth" : {truth:.3f}, "é":1e400}}', **place(received + 2_000)})
    scores = {}
    for model in MODELS if endpoint == ENDPOINT else ("mlp@1", "rules@1"):
        started = received + int(1e3 * random.gamma(2, 4))
        took = int(1e3 * random.gamma(2, 3))
        if random.random() < 0.1:
            # Late, up to beyond the longest wait that anyone asks for.
            took += int(1e3 * random.choice([60, 300, 900, 4_000, 9_000]))
        noise = {"gbt@1": 0.1, "mlp@1": 0.15}.get(model, 0.25)
        value = float(np.clip(truth + random.normal(0.05, noise), 0, 1))
        if model == "prior@1":
            value = round(value, 1)
        failure = None if random.random() < 0.93 else str(random.choice(["failed", "timed_out", "expired", "invalid"]))
        # A score without the scalar that the configuration names.
        bare = failure is None and random.random() < 0.01
        score = {
            **envelope, "model": model, "started_us": started, "finished_us": started + took,
            "score": None if failure else "{}" if bare else f'{{"delay_probability":{value!r}}}',
            "value": None if failure or bare else value,
            "failure_kind": failure, "failure_message": failure and "no weather",
            **place(started + took + int(random.integers(500, 3_000))),
        }  # fmt: skip
        scores[model] = score
        tables["scores"].append(score)
    decision = _decide(scores, received)
    tables["decisions"].append({
        **{name: envelope[name] for name in SCHEMAS["decisions"] if name in envelope},
        "champion": CHAMPION, "seen": [], **decision,
        "sequence_number": str(next(sequence)), "arrived_us": decision["decided_us"] // 1_000_000 * 1_000_000,
    })  # fmt: skip
    for attempt in range(int(random.choice([0, 1, 1, 1, 2]))):
        # A correction comes days later, and the last one counts.
        late = truth > 0.6 if attempt == 0 else truth > 0.5
        kind = random.random()
        outcome, value = ('{"late":null}', None) if kind < 0.03 else ('{"late":0.5}', 0.5) if kind < 0.06 else (
            f'{{"late":{str(late).lower()}}}', float(late)
        )  # fmt: skip
        reported = received + 3_600_000_000 + attempt * 259_200_000_000
        tables["outcomes"].append({
            "request_id": request_id, "endpoint": endpoint, "reported_us": reported, "outcome": outcome, "value": value,
            "sequence_number": str(next(sequence)), "arrived_us": reported // 1_000_000 * 1_000_000,
        })  # fmt: skip


def _decide(scores: dict[str, Row], received: int) -> Row:
    """Roughly as the schedule would: champion within 60 ms, else a stand-in, else the fallback at the deadline."""
    for model, limit in [(CHAMPION, 60), *((stand_in, 200) for stand_in in STAND_INS)]:
        score = scores.get(model)
        if score and score["value"] is not None and score["arrived_us"] - received <= 1e3 * limit:
            first = model == CHAMPION
            decided = max(score["arrived_us"], received + (0 if first else 60_000)) + received % 4_567
            return {
                "kind": "champion" if first else "stand_in", "reason": "preferred" if first else "opened", "model": model,
                "score": score["score"], "value": score["value"], "decided_us": decided,
            }  # fmt: skip
    return {
        "kind": "fallback", "reason": "deadline", "model": None,
        "score": '{"delay_probability":0.274}', "value": 0.274, "decided_us": received + 200_000 + (received % 3 - 1) * 1_000,
    }  # fmt: skip


def _lose(tables: dict[str, list[Row]], random: np.random.Generator) -> None:
    """Removes rows: runs and single ones, in every table."""
    ids = [row["request_id"] for row in tables["requests"] if row["endpoint"] == ENDPOINT]
    nobody, silent, unasked, undecided = set(ids[50:60]), set(ids[300:330]), set(ids[100:103]), set(ids[200:202])
    single = set(map(str, random.choice(ids, 12, replace=False)))
    lost = {
        "requests": lambda row: row["request_id"] in unasked,
        "scores": lambda row: row["request_id"] in nobody
        or (row["model"] == "gbt@1" and row["request_id"] in silent | single)
        or row["request_id"] == ids[101],
        "decisions": lambda row: row["request_id"] in undecided,
        "outcomes": lambda row: False,
    }
    for table, is_lost in lost.items():
        tables[table] = [row for row in tables[table] if not is_lost(row)]


def _again(table: str, rows: list[Row], random: np.random.Generator, sequence: Iterator[int]) -> list[Row]:
    """Rows that are in the archive again: redelivered, or sent again, with other contents that must not count."""
    again = [rows[index] for index in random.integers(0, len(rows), len(rows) // 10)]
    if table in ("requests", "scores"):
        for row in rows:
            # At the same time; an hour later, often in another partition; on the next day.
            delay = random.choice([None, 0, 3_600_000_000, 80_000_000_000], p=[0.8, 0.1, 0.06, 0.04])
            if delay is not None:
                copy = {**row, "sequence_number": str(next(sequence)), "arrived_us": row["arrived_us"] + int(delay)}
                if table == "scores":
                    copy |= {"value": 0.5, "score": "{}", "failure_kind": None, "failure_message": None}
                again.append(copy)
    if table == "outcomes":
        # The same id on another endpoint is another request.
        again += [{**row, "endpoint": "fraud", "value": 0.0} for row in rows[::9] if row["endpoint"] == ENDPOINT]
    return again


def _write_table(folder: Path, schema: dict[str, Any], rows: list[Row]) -> None:
    hours: dict[str, list[Row]] = {}
    for row in rows:
        hours.setdefault(datetime.fromtimestamp(row["arrived_us"] / 1e6, UTC).strftime("date=%Y-%m-%d/hour=%H"), []).append(row)
    for hour, of_hour in hours.items():
        (folder / hour).mkdir(parents=True)
        # Rows of one id in different files, and no file in order of time.
        for part in range(2):
            frame = pl.DataFrame(of_hour[part::2], schema=schema).sort("endpoint", "request_id")
            if len(frame):
                frame.write_parquet(folder / hour / f"{part}.parquet", compression="zstd")
