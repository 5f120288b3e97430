"""An hour of requests while functions are killed, a table throttles and configurations change; then what clients were told is
compared with the archive.

SOAK_SECONDS (3600) and SOAK_RATE (20 a second) change it. A machine that cannot keep the rate asks fewer: at most 100 at a time.
Each minute it prints what clients were told in that minute.
"""

import base64
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.proxy import Proxy
from faults.ramped import configuration
from faults.stack import ENDPOINT, FLIGHT, MODELS, NO_ANSWER, WINDOW_SECONDS, Stack, must, percentile
from harness.paths import INSTALLED, ROOT

SECONDS = int(os.environ.get("SOAK_SECONDS", "3600"))
RATE = float(os.environ.get("SOAK_RATE", "20"))
# Each request that waits is a process, which reads the table again and again.
AT_ONCE = 100
# Processes start while a quarter of the requests is asked: together they would take both processors from those that answer.
WARM_SECONDS = 30
REPORT_SECONDS = 60
DEADLINE_MS = 20_000
# What is left undecided is decided within three minutes of its deadline; a file takes a window more.
SETTLE_SECONDS = 200 + 2 * WINDOW_SECONDS
TROUBLE_SECONDS = (2, 8)


@dataclass
class Told:
    """What clients were told, and what was done to the stack."""

    statuses: Counter[str] = field(default_factory=Counter)
    settled: dict[str, dict[str, Any]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    # Outcomes that were acknowledged, and how many others were reported.
    outcomes: dict[str, str] = field(default_factory=dict)
    unreported: int = 0
    named: set[str] = field(default_factory=set)
    # Replies that name no request, and connections without a reply.
    unnamed: int = 0
    contradicted: list[str] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    # How long the answers took that clients waited for.
    seconds: list[float] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[int, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, status: int, body: dict[str, Any], seconds: float) -> None:
        """Takes a reply. Two settled answers to one request are equal."""
        with self.lock:
            kind = body.get("kind", "")
            self.statuses[f"{status} {kind}".strip()] += 1
            if "request" in body:
                self.named.add(body["request"])
            else:
                self.unnamed += 1
            if status == 202:
                self.accepted.add(body["request"])
            if status != 200:
                return
            self.seconds.append(seconds)
            if seconds * 1000 > DEADLINE_MS + 1000:
                self.late.append(seconds)
            if body["settled"]:
                said = {name: body.get(name) for name in ("kind", "reason", "model", "score", "config", "arm")}
                if self.settled.setdefault(body["request"], said) != said:
                    self.contradicted.append(body["request"])


def soak(stack: Stack, proxy: Proxy) -> str:
    """Nothing is contradicted, missing or late without a cause."""
    told = Told()
    _ask_until(stack, told, time.monotonic() + WARM_SECONDS, RATE / 4)
    end = time.monotonic() + SECONDS
    chance = random.Random(2013)
    troubled = threading.Thread(target=_trouble, args=(stack, proxy, told, end, chance))
    troubled.start()
    asked = _ask_until(stack, told, end, RATE)
    troubled.join()
    proxy.refuses = lambda _, __: False
    time.sleep(SETTLE_SECONDS)
    found = _archived(stack)
    wrong = _compare(told, found)
    gaps = stack.ctl("gaps", ENDPOINT)
    failed = _failed(stack)
    # A request without a row was not sent, or the decoy has given it up.
    unarchived = (set(found["decisions"]) | set(found["scored"])) - set(found["ids"])
    unsent = _unsent(unarchived, told, found) - failed.unarchived
    nameless = unsent - told.named
    lost = unarchived - unsent - failed.unarchived
    undecided = set(found["ids"]) - set(found["decisions"])
    # An arm of the ramps has a model that is not there.
    missing = sum(gaps["missing"].get(model, 0) for model in MODELS) - len(unsent) * len(MODELS)
    summary = (
        f"{asked} requests in {SECONDS} s, {asked / SECONDS:.1f} a second: {dict(told.statuses)}; {dict(told.troubles)}; "
        f"{len(told.settled)} settled answers, {len(told.accepted)} accepted, {len(told.outcomes)} outcomes acknowledged and "
        f"{told.unreported} not; archived {found['requests']} requests, {len(found['decisions'])} decisions and "
        f"{len(found['outcomes'])} outcomes, {len(unarchived)} requests without a row, of which {len(unsent)} were not "
        f"sent ({len(nameless)} of them known to no client) and {len(unarchived & failed.unarchived)} are in the failure "
        f"bucket, {len(undecided)} without a decision, of which {len(undecided & failed.undecided)} are in the failure "
        f"bucket; {max(missing, 0)} of {gaps['pairs']} scores missing, {failed.records} records in the failure bucket; "
        f"{len(told.late)} late, p50 {percentile(told.seconds, 0.5):.0f} ms, p99 {percentile(told.seconds, 0.99):.0f} ms; "
        f"functions {_flat(told.memory)}"
    )
    must(not told.contradicted, f"contradicted: {told.contradicted[:5]}; {summary}")
    unsaid = [request for request, outcome in told.outcomes.items() if found["outcomes"].get(request) != outcome]
    unsaid = [request for request in unsaid if request not in failed.outcomes]
    must(not unsaid, f"{len(unsaid)} outcomes are missing or different: {unsaid[:5]}; {summary}")
    must(not wrong, f"{len(wrong)} differ from the archive: {wrong[:5]}; {summary}")
    must(missing <= failed.records, f"scores are missing that no batch in the failure bucket names; {summary}")
    of_lost = [(request, found["decisions"].get(request), request in found["scored"]) for request in sorted(lost)]
    unknown = f"{len(nameless)} requests that no client knows have no row, and {told.unnamed} calls named no request"
    must(len(nameless) <= told.unnamed, f"{unknown}; {summary}")
    must(not lost, f"{len(lost)} requests are missing (decision, whether scored): {of_lost[:5]}; {summary}")
    return summary


def _ask_until(stack: Stack, told: Told, end: float, rate: float) -> int:
    asked, waiting, pool = 0, set[Future[None]](), ThreadPoolExecutor(AT_ONCE + 1)
    start = due = time.monotonic()
    report, before = start + REPORT_SECONDS, Counter(told.statuses)
    while time.monotonic() < end:
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        if due > report:
            with told.lock:
                now = Counter(told.statuses)
            print(f"{due - start:5.0f} s: {dict(now - before)}", flush=True)
            report, before = report + REPORT_SECONDS, now
        waiting = {future for future in waiting if not future.done()}
        if len(waiting) >= AT_ONCE:
            continue
        key = str(uuid.uuid4()) if asked % 10 == 0 else ""
        wait = asked % 10 != 5
        # Every tenth is sent twice at once, with an idempotency key: both get one answer.
        for _ in range(2 if key else 1):
            waiting.add(pool.submit(_ask, stack, told, asked, key, wait))
        asked += 1
    for future in waiting:
        future.result()
    pool.shutdown()
    return asked


def _ask(stack: Stack, told: Told, number: int, key: str, wait: bool) -> None:
    headers = {"content-type": "application/json", "rendezvous-key": f"caller-{number % 31}"}
    if key:
        headers["idempotency-key"] = key
    headers |= {"rendezvous-deadline-ms": str(DEADLINE_MS)} if wait else {"prefer": "respond-async"}
    start = time.monotonic()
    try:
        status, said = stack.call("POST", "", headers, json.dumps(FLIGHT))
        body = json.loads(said or b"{}")
        told.answer(status, body, time.monotonic() - start)
    except NO_ANSWER as error:
        with told.lock:
            told.statuses[type(error).__name__] += 1
            told.unnamed += 1
        return
    # Every tenth reports an outcome. DynamoDB Local searches all changes for those of a table that has none for long, and takes
    # longer for it with each change.
    if number % 10 == 3 and "request" in body:
        _report(stack, told, body["request"], json.dumps({"late": number % 20 == 3, "number": number}))


def _report(stack: Stack, told: Told, request: str, outcome: str) -> None:
    status = 0
    with contextlib.suppress(*NO_ANSWER):
        status, _ = stack.call("PUT", f"/{request}/outcome", {"content-type": "application/json"}, outcome)
    with told.lock:
        if status == http.HTTPStatus.NO_CONTENT:
            told.outcomes[request] = outcome
        else:
            told.unreported += 1


def _trouble(stack: Stack, proxy: Proxy, told: Told, end: float, chance: random.Random) -> None:
    """Until the end: kills, throttles, publishes."""
    ways = {"kill": _kill, "throttle": _throttle, "publish": _publish, "ramp": _ramp}
    while time.monotonic() < end - 30:
        time.sleep(chance.uniform(*TROUBLE_SECONDS))
        (way,) = chance.choices(list(ways), weights=(6, 3, 2, 1))
        try:
            ways[way](stack, proxy, chance)
            told.troubles[way] += 1
        except Exception as error:
            told.troubles[f"{way} failed: {error!r}"[:80]] += 1
        told.memory.append(_memory())


def _kill(stack: Stack, _: Proxy, chance: random.Random) -> None:
    processes = [(name, pid) for pid, name in _processes() if name.startswith(stack.name)]
    if processes:
        # Each function as often, whether it has one process or, as ingress, one for each request that waits.
        function = chance.choice(sorted({name for name, _ in processes}))
        os.kill(chance.choice([pid for name, pid in processes if name == function]), signal.SIGKILL)


def _throttle(_: Stack, proxy: Proxy, chance: random.Random) -> None:
    proxy.refuses = lambda operation, __: operation == "UpdateItem" and chance.random() < 0.5
    time.sleep(3)
    proxy.refuses = lambda _, __: False


def _publish(stack: Stack, _: Proxy, chance: random.Random) -> None:
    stack.configure(*chance.sample(("logistic@1", "timetable@1", "prior@1"), 3))


def _ramp(stack: Stack, _: Proxy, __: random.Random) -> None:
    stack.publish(configuration())


def _processes() -> list[tuple[int, str]]:
    """The functions' processes, each with the name of its function."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = dict(
                pair.partition(b"=")[::2] for pair in (folder / "environ").read_bytes().split(b"\0") if b"=" in pair
            )
            if name := variables.get(b"AWS_LAMBDA_FUNCTION_NAME"):
                found.append((int(folder.name), name.decode()))
    return found


def _memory() -> tuple[int, int]:
    """The functions' resident bytes and open files, a process on average."""
    pages = files = count = 0
    for pid, _ in _processes():
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            count += 1
    return pages * os.sysconf("SC_PAGE_SIZE") // max(count, 1), files // max(count, 1)


def _flat(samples: list[tuple[int, int]]) -> str:
    """The first and the last quarter of the samples."""
    quarter = max(len(samples) // 4, 1)

    def mean(part: list[tuple[int, int]], index: int) -> float:
        return sum(sample[index] for sample in part) / max(len(part), 1)

    first, last = samples[:quarter], samples[-quarter:]
    return (
        f"{mean(first, 0) / 1e6:.1f} to {mean(last, 0) / 1e6:.1f} MB and {mean(first, 1):.0f} to {mean(last, 1):.0f} "
        "open files a process"
    )


# Reads the archive with DuckDB, in an environment of its own.
READ = """
import duckdb, json, sys
folder = sys.argv[1]
def rows(query):
    return duckdb.sql(query).fetchall()
def table(name):
    return f"read_parquet('{folder}/{name}/**/*.parquet', union_by_name = true)"
requests = rows(f"SELECT count(DISTINCT request_id) FROM {table('requests')}")[0][0]
decisions = {
    str(row[0]): {"kind": row[1], "reason": row[2], "model": row[3], "config": row[4], "arm": row[5], "count": row[6]}
    for row in rows(f'''
        SELECT request_id, any_value(kind), any_value(reason), any_value(model), any_value(config), any_value(arm),
            count(DISTINCT (kind, reason, model, config, arm, decided_us))
        FROM {table('decisions')} GROUP BY request_id''')
}
accepted = [str(row[0]) for row in rows(f"SELECT DISTINCT request_id FROM {table('requests')}")]
scored = [str(row[0]) for row in rows(f"SELECT DISTINCT request_id FROM {table('scores')}")]
outcomes = {
    str(row[0]): row[1].decode() if isinstance(row[1], bytes) else row[1]
    for row in rows(f"SELECT request_id, arg_max(outcome, arrived_us) FROM {table('outcomes')} GROUP BY request_id")
}
json.dump({"requests": requests, "decisions": decisions, "ids": accepted, "scored": scored, "outcomes": outcomes}, sys.stdout)
"""


def _archived(stack: Stack) -> dict[str, Any]:
    environment = INSTALLED / "duckdb"
    if not (environment / "bin/duckdb-installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        requirements = ROOT / "infra/ctl/query/requirements.txt"
        install = [environment / "bin/pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", requirements]
        subprocess.run(install, check=True)
        (environment / "bin/duckdb-installed").touch()
    with tempfile.TemporaryDirectory() as folder:
        bucket = stack.outputs["ArchiveBucket"]
        for table in ("requests", "scores", "decisions", "outcomes"):
            for name in stack.archived(table):
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(stack.s3.get_object(Bucket=bucket, Key=name)["Body"].read())
        read = subprocess.run(
            [environment / "bin/python", "-c", READ, folder], capture_output=True, text=True, check=False
        )
        must(read.returncode == 0, f"the archive cannot be read: {read.stderr[-1000:]}")
    return dict(json.loads(read.stdout))


def _compare(told: Told, found: dict[str, Any]) -> list[str]:
    """What clients were told and the archive does not say."""
    decisions, ids = found["decisions"], set(found["ids"])
    wrong = [f"{request} is decided {each['count']} times" for request, each in decisions.items() if each["count"] > 1]
    for request, said in told.settled.items():
        decided = decisions.get(request)
        if decided is None:
            wrong.append(f"{request} has no decision, the client was told {said}")
        elif any(decided[name] != said[name] for name in ("kind", "reason", "model", "config", "arm")):
            wrong.append(f"{request} is decided {decided}, the client was told {said}")
        if request not in ids and said["reason"] != "unavailable":
            wrong.append(f"{request} is not archived")
    for request in told.accepted:
        if request not in ids:
            wrong.append(f"{request} was accepted and is not archived")
        if request not in decisions:
            wrong.append(f"{request} was accepted and is not decided")
    return wrong


def _unsent(unarchived: set[str], told: Told, found: dict[str, Any]) -> set[str]:
    """Requests that the stream did not take: nobody was promised a score, and no model has seen them.

    What ingress could not send it decides at once. Where it was killed before that, or had no time for it, the monitor decides
    what has a mailbox.
    """
    decisions = found["decisions"]
    at_once = {request for request in unarchived if decisions.get(request, {}).get("reason") == "unavailable"}
    promised = set(told.settled) | told.accepted
    return at_once | (unarchived - promised - set(found["scored"]))


@dataclass
class Failed:
    """What functions have given up: records, each counted once for each function, and the requests that are not archived by that
    or whose decisions or outcomes are not."""

    records: int
    unarchived: set[str]
    undecided: set[str]
    outcomes: set[str]


def _failed(stack: Stack) -> Failed:
    bucket = stack.outputs["FailureBucket"]
    pages = stack.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="aws/lambda/")
    keys = [kept["Key"] for page in pages for kept in page.get("Contents", [])]
    batches = [json.loads(stack.s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]
    given_up = [
        (batch["requestContext"]["functionArn"], record)
        for batch in batches
        for record in batch.get("payload", {}).get("Records", [])
    ]
    decoys = [record for function, record in given_up if "decoy" in function.lower()]
    data = (json.loads(base64.b64decode(record["kinesis"]["data"])) for record in decoys if "kinesis" in record)
    requests = {message["envelope"]["id"] for message in data if "model" not in message}
    changes = [record["dynamodb"] for record in decoys if "dynamodb" in record]
    undecided = {change["Keys"]["id"]["S"] for change in changes if "decision" in change.get("NewImage", {})}
    outcomes = {change["Keys"]["request"]["S"] for change in changes if "request" in change["Keys"]}
    return Failed(len({(function, record["eventID"]) for function, record in given_up}), requests, undecided, outcomes)
