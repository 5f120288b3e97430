"""What a million requests cost on AWS: what the deployed functions do for a request is counted here, and priced by list."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from faults.proxy import Proxy
from faults.stack import MODELS, Stack

# List prices of us-east-1, November 2026, in dollars.
API_CALL = 1.00e-6
INVOCATION = 0.20e-6
GB_SECOND = {"x86_64": 16.6667e-6, "arm64": 13.3334e-6}
LOGGED_BYTE = 0.50e-9
TABLE_WRITE = 0.625e-6
TABLE_READ = 0.125e-6
# Streams on demand: a gigabyte in, and a gigabyte retrieved by a poller or pushed to a consumer. A record counts as whole KB.
KINESIS_IN, KINESIS_POLLED, KINESIS_PUSHED = 0.08e-6, 0.04e-6, 0.05e-6
# CloudWatch adds so many bytes to each line.
LINE_BYTES = 26
# Lambda gives one virtual processor at so many megabytes, and less memory gets a part of it.
FULL_PROCESSOR_MB = 1769

# What an emulator cannot show: how long calls take on AWS, in milliseconds, and how long the answer does.
CALL_MS = {"put": 12.0, "write": 6.0}
ANSWER_MS = 170.0
REQUESTS = 60
FOUR = ("logistic@1", "timetable@1", "prior@1", "gbt@1")


@dataclass(frozen=True)
class Use:
    """What a function has used for a number of requests."""

    invocations: int
    log_bytes: int
    processor_ms: float


def priced(stack: Stack, _proxy: Proxy) -> str:
    """Counts what a request costs when each comes alone."""
    ingress, rendezvous = stack.outputs["IngressFunction"], stack.outputs["RendezvousFunction"]
    names = [ingress, rendezvous, *(stack.function(model) for model in MODELS)]
    stack.configure(*FOUR[:3])
    stack.switch(stack.mapping("mlp@1"), False)
    stack.end_all()
    stack.ask()
    since, before = time.time(), _processor_ms(stack)
    replies = [stack.ask() for _ in range(REQUESTS)]
    rate = REQUESTS / sum(reply.seconds for reply in replies)
    time.sleep(2)
    after = _processor_ms(stack)
    stack.end(*names)
    time.sleep(5)
    uses = {name: _use(stack, name, since, after.get(name, 0) - before.get(name, 0)) for name in names}
    calls = {
        name: sum(stack.counted(function, name, since))
        for function, name in (
            (ingress, "LedgerReads"),
            (ingress, "LedgerWrites"),
            (rendezvous, "RendezvousLedgerWrites"),
        )
    }
    kilobytes = sum(-(-_bytes(stack.mailbox(reply.id)) // 1024) for reply in replies) / REQUESTS
    stack.switch(stack.mapping("mlp@1"), True)
    models = [uses[stack.function(model)] for model in FOUR]
    lines = [f"{REQUESTS} requests, one at a time, {rate:.1f} a second; four models"]
    for name, use in (("ingress", uses[ingress]), ("rendezvous", uses[rendezvous]), ("models", _sum(models))):
        count = max(1, use.invocations)
        lines.append(
            f"{name}: {use.invocations / REQUESTS:.2f} invocations a request, {use.processor_ms / count:.2f} ms of "
            f"processor time and {use.log_bytes / count:.0f} bytes of logs an invocation"
        )
    lines.append(f"ledger: {calls}, mailboxes of {kilobytes:.2f} KB")
    for title, batch in (("alone", 1), ("in batches of ten", 10)):
        lines.append(_dollars(title, batch, uses[ingress], uses[rendezvous], models, calls, kilobytes))
    lines += _memory({"ingress": uses[ingress], "rendezvous": uses[rendezvous], "model": models[0]})
    return "\n  ".join(lines)


def _dollars(
    title: str, batch: int, ingress: Use, rendezvous: Use, models: list[Use], calls: dict[str, int], kilobytes: float
) -> str:
    """What a million requests cost. A batch of ten is one invocation with the processor time of ten."""
    asked = ingress.invocations / REQUESTS
    others = (rendezvous.invocations + _sum(models).invocations) / REQUESTS / batch
    logs = (ingress.log_bytes + (rendezvous.log_bytes + _sum(models).log_bytes) / batch) / REQUESTS
    seconds = asked * _gb_seconds("ingress", ingress, 1)
    seconds += rendezvous.invocations / REQUESTS * _gb_seconds("rendezvous", rendezvous, batch)
    seconds += sum(use.invocations / REQUESTS * _gb_seconds("model", use, batch) for use in models)
    writes = (calls["LedgerWrites"] + calls["RendezvousLedgerWrites"]) / REQUESTS * max(1.0, kilobytes)
    parts = {
        "API Gateway": API_CALL,
        "invocations": (asked + others) * INVOCATION,
        "Lambda's time": seconds * GB_SECOND["x86_64"],
        "Kinesis": 5 * KINESIS_IN + 8 * KINESIS_PUSHED + 5 * KINESIS_POLLED,
        "DynamoDB": writes * TABLE_WRITE + calls["LedgerReads"] / REQUESTS * 0.5 * TABLE_READ,
        "logs": logs * LOGGED_BYTE,
    }
    arm = sum(parts.values()) - seconds * (GB_SECOND["x86_64"] - GB_SECOND["arm64"])
    listed = ", ".join(f"{part} {dollars * 1e6:.2f}" for part, dollars in parts.items())
    return f"dollars a million requests, {title}: {sum(parts.values()) * 1e6:.2f} ({arm * 1e6:.2f} on arm64): {listed}"


# The template's memory of each function.
MEMORY_MB = {"ingress": 256, "rendezvous": 1024, "model": 512}


def _gb_seconds(kind: str, use: Use, batch: int, memory: int = 0) -> float:
    """The time that Lambda charges for a record of a batch, times memory."""
    memory = memory or MEMORY_MB[kind]
    return _milliseconds(kind, use, batch, memory) / 1000 * memory / 1024 / batch


def _milliseconds(kind: str, use: Use, batch: int, memory: int) -> float:
    """How long an invocation takes: it waits for calls, and for its part of the processor."""
    waits = {"ingress": ANSWER_MS, "rendezvous": CALL_MS["write"], "model": CALL_MS["put"]}[kind]
    # Of the processor time of an invocation most is for its calls; a further record adds a fifth of it.
    records = 1 + (batch - 1) / 5
    processor = use.processor_ms / max(1, use.invocations) * records / min(1.0, memory / FULL_PROCESSOR_MB)
    return waits + processor


def _memory(uses: dict[str, Use]) -> Iterator[str]:
    for kind, use in uses.items():
        cells = []
        for memory in (128, 256, 512, 1024, 1769):
            took = _milliseconds(kind, use, 1, memory)
            price = _gb_seconds(kind, use, 1, memory) * GB_SECOND["x86_64"] * 1e6
            cells.append(f"{memory} MB {took:.0f} ms ${price:.2f}")
        yield f"{kind}, an invocation and a million: {'; '.join(cells)}"


def _sum(uses: list[Use]) -> Use:
    return Use(
        sum(use.invocations for use in uses), sum(use.log_bytes for use in uses), sum(use.processor_ms for use in uses)
    )


def _use(stack: Stack, function: str, since: float, processor_ms: float) -> Use:
    """What a function has logged. Lines of Lambda itself count as invocations only: the template omits them."""
    invocations = size = 0
    pages = stack.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(logGroupName=f"/aws/lambda/{function}", startTime=int(since * 1000)):
        for line in (event["message"].rstrip("\n") for event in page["events"]):
            invocations += line.startswith("REPORT ")
            if not line.startswith(("START ", "END ", "REPORT ")):
                size += len(line.encode()) + LINE_BYTES
    return Use(invocations, size, processor_ms)


def _bytes(item: dict[str, dict[str, str]]) -> int:
    """About what DynamoDB counts: the names and the values of all attributes."""
    return sum(len(name) + len(str(value)) for name, typed in item.items() for value in typed.values())


def _processor_ms(stack: Stack) -> dict[str, float]:
    """The processor time of each function's processes."""
    mark = f"EDGE_PORT={urlsplit(stack.url).port}".encode()
    times: dict[str, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if (folder / "comm").read_text() != "bootstrap\n" or mark not in variables:
                continue
            name = next(v.partition(b"=")[2].decode() for v in variables if v.startswith(b"AWS_LAMBDA_FUNCTION_NAME="))
            threads = (folder / "task").glob("*/schedstat")
            times[name] = times.get(name, 0) + sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6
    return times
