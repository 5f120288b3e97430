"""Checks of functions that are frozen, of windows and of fan-out."""

import contextlib
import math
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from faults.proxy import Proxy
from faults.stack import MODELS, WINDOW_SECONDS, Failed, Reply, Stack, eventually, must

CHAMPION = "logistic@1 preferred"
CLIENTS = 4


def _answered(replies: list[Reply], by: str = CHAMPION) -> None:
    others = [f"{reply.status} {reply.by}" for reply in replies if reply.by != by]
    must(not others, f"not all are answered by {by}: {others}")


def pushed(stack: Stack, _proxy: Proxy) -> str:
    """Enhanced fan-out, the template's default: models and rendezvous read by consumers, the decoy polls."""
    mappings = stack.lambda_.list_event_source_mappings()["EventSourceMappings"]
    consumers = {mapping["UUID"] for mapping in mappings if "/consumer/" in mapping["EventSourceArn"]}
    wanted = {stack.mapping(model) for model in MODELS} | {stack.outputs["RendezvousMapping"]}
    must(consumers == wanted, f"the mappings {consumers ^ wanted} read otherwise")
    arns = {mapping["EventSourceArn"] for mapping in mappings if mapping["UUID"] in consumers}
    must(len(arns) == len(wanted), "mappings share a consumer")
    replies = list(stack.pool.map(lambda _: stack.ask(), range(CLIENTS)))
    start = time.monotonic()
    for _ in range(10):
        replies += stack.pool.map(lambda _: stack.ask(), range(CLIENTS))
    rate = 10 * CLIENTS / (time.monotonic() - start)
    _answered(replies)
    p50 = median(reply.seconds for reply in replies[CLIENTS:]) * 1000
    return (
        f"{len(arns)} consumers; {len(replies)} of {len(replies)} requests answered by the champion, "
        f"{CLIENTS} at a time, p50 {p50:.0f} ms, {rate:.1f} a second"
    )


def gathered(stack: Stack, _proxy: Proxy) -> str:
    """The window makes the decoy's files."""
    # What came before has been archived, and the decoy prints the metrics that it holds of that.
    time.sleep(WINDOW_SECONDS + 2)
    stack.end(stack.outputs["DecoyFunction"])
    before, since, start = stack.archived("requests"), time.time(), time.monotonic()
    count = 24
    for _ in range(count):
        stack.ask(key="gathered", deadline_ms=60_000, wait=False)
        time.sleep(0.4)
    seconds = time.monotonic() - start

    # The last batch is handled, and the decoy prints the metrics that it holds.
    time.sleep(2 * WINDOW_SECONDS)
    stack.end(stack.outputs["DecoyFunction"])

    def rows() -> list[int]:
        return stack.counted(stack.outputs["DecoyFunction"], "Archived", since, Source="input")

    eventually("all requests are archived", lambda: sum(rows()) >= count)
    batches, files = rows(), len(stack.archived("requests") - before)
    most = math.ceil(seconds / WINDOW_SECONDS) + 1
    must(sum(batches) == count, f"{sum(batches)} rows were archived")
    must(len(batches) <= most and files <= most, f"{files} files of batches of {batches}, not {most} at most")
    return f"{count} requests of one shard in {seconds:.0f} s: {files} files, batches of {batches}"


def frozen(stack: Stack, proxy: Proxy) -> str:
    """Functions that are frozen between invocations lose no metrics line, no connection, no timer."""
    stack.configure("logistic@1", "timetable@1", "prior@1")
    stack.end_all()
    since, count = time.time(), 20
    replies = [stack.ask() for _ in range(count)]
    _answered(replies)
    states = eventually("all functions are frozen", lambda: _all_stopped(stack))
    dropped = proxy.drop_connections()
    must(dropped > 0, "rendezvous has no open connection")
    more = 5
    _answered([stack.ask() for _ in range(more)])
    count += more
    _metrics(stack, since, count)
    retried = sum(stack.counted(stack.outputs["RendezvousFunction"], "ScoresRetried", since))
    must(retried == 0, f"{retried} scores came again after their connections had been closed")
    _timers(stack)
    return f"{states} processes frozen; {count} requests counted, {dropped} closed connections replaced, timers right"


def _metrics(stack: Stack, since: float, count: int) -> None:
    """No value is missing, although no further invocation comes: a function that is ended prints what it holds."""
    stack.end_all()
    ingress, rendezvous = stack.outputs["IngressFunction"], stack.outputs["RendezvousFunction"]

    def counts() -> list[int]:
        scored = [sum(stack.counted(stack.function(model), "Scored", since)) for model in MODELS]
        read = sum(stack.counted(rendezvous, "ScoresRead", since))
        return [sum(stack.counted(ingress, "Answers", since)), read, *scored]

    wanted = [count, count * len(MODELS), *[count] * len(MODELS)]
    try:
        eventually(f"metrics count {wanted}", lambda: counts() == wanted, seconds=20)
    except Failed as failed:
        raise Failed(f"{failed}, but {counts()}") from failed


def _timers(stack: Stack) -> None:
    """What has expired while a function was frozen is not used, and a deadline counts from its own request."""
    version = stack.ask().body["config"]
    # This takes longer than the second for which ingress keeps the version that it has read.
    stack.configure("prior@1", "timetable@1", "logistic@1")
    promoted = stack.ask()
    must(promoted.body["config"] == version + 1, f"the configuration is {promoted.body['config']}, {version} before")
    _answered([promoted], by="prior@1 preferred")
    elapsed = promoted.body["elapsed_ms"] / 1000
    must(0 < elapsed <= promoted.seconds, f"{elapsed} s of {promoted.seconds:.3f} s are said to have elapsed")
    mapping = stack.outputs["RendezvousMapping"]
    stack.switch(mapping, False)
    time.sleep(3)
    reply = stack.ask(deadline_ms=1500)
    stack.switch(mapping, True)
    must(reply.body["reason"] == "deadline", f"answered by {reply.by}")
    # Ingress settles AnswerMarginMs before the deadline.
    must(1.05 <= reply.seconds <= 1.8, f"a deadline of 1.5 s was answered after {reply.seconds:.2f} s")
    stack.configure("logistic@1", "timetable@1", "prior@1")


def _all_stopped(stack: Stack) -> int:
    """How many of the functions' processes there are, if all are stopped."""
    mark = f"EDGE_PORT={urlsplit(stack.url).port}".encode()
    states = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text() == "bootstrap\n" and mark in (folder / "environ").read_bytes():
                states.append((folder / "stat").read_text().rpartition(")")[2].split()[0])
    return len(states) if set(states) == {"T"} else 0
