"""Three times as many requests as the stack can take, with a maximum of ingress and without, and a minute later.

On AWS the maximum is `IngressConcurrency`. What it does not let in is refused before ingress is called, so that no
fallback answers it. RUSH_SECONDS (30) is how long each load takes.
"""

import http.client
import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from faults.proxy import Proxy
from faults.stack import FLIGHT, NO_ANSWER, Stack, must, percentile

SECONDS = float(os.environ.get("RUSH_SECONDS", "30"))
PAUSE_SECONDS = 60
DEADLINE_MS = 2_000
# What LocalStack itself may take for an answer: in a rush a refusal, which no function sees, takes most of a second.
EMULATOR_MS = 1_000
# So many clients find the most that the stack can take, and so many are in a rush.
CLIENTS = 8
AT_ONCE = 150
# Executions of ingress at a time, where it has a maximum.
MAXIMUM = 12
BY_MODELS = ("200 champion", "200 stand_in")


@dataclass
class Load:
    """What clients asked and were told."""

    # Requests that were due while AT_ONCE waited.
    unasked: int = 0
    told: Counter[str] = field(default_factory=Counter)
    # How long answers took, and refusals.
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __str__(self) -> str:
        told = ", ".join(f"{count} {what}" for what, count in self.told.most_common())
        refused = f"; refusals {_took(self.refused)}" if self.refused else ""
        unasked = f", {self.unasked} not asked" if self.unasked else ""
        return f"{told}{unasked}; {_took(self.answered)}{refused}"

    def only(self, *kinds: str) -> bool:
        """Whether clients were told nothing else."""
        return set(self.told) <= set(kinds)


def rushed(stack: Stack, _proxy: Proxy) -> str:
    """Whoever is let in is answered in time, and who is not, at once; a minute later all is as it was."""
    stack.configure("logistic@1", "timetable@1", "prior@1", after_ms=400)
    ingress = stack.outputs["IngressFunction"]
    _rush(stack, None)
    stack.lambda_.put_function_concurrency(FunctionName=ingress, ReservedConcurrentExecutions=MAXIMUM)
    try:
        _rush(stack, MAXIMUM)
    finally:
        stack.lambda_.delete_function_concurrency(FunctionName=ingress)
    return f"three times the most twice, each time answered by models alone {PAUSE_SECONDS} s later"


def _rush(stack: Stack, maximum: int | None) -> None:
    most = _most(stack)
    _ask(stack, most / 2)
    before = _ask(stack, most / 2)
    rush = _ask(stack, most * 3)
    time.sleep(PAUSE_SECONDS)
    after = _ask(stack, most / 2)
    loads = (("half", before), ("three times", rush), ("half, a minute later", after))
    limit = f"at most {maximum} of ingress" if maximum else "no maximum of ingress"
    line = f"{limit}, the most {most:.1f} a second" + "".join(f"\n  {name}: {load}" for name, load in loads)
    must(before.only(*BY_MODELS) and after.only(*BY_MODELS), f"half is not answered by models alone: {line}")
    if maximum:
        must(rush.only(*BY_MODELS, "200 fallback", "503"), f"not answered or refused: {line}")
        late = [seconds for seconds in rush.answered if seconds * 1000 > DEADLINE_MS + EMULATOR_MS]
        must(not late, f"{len(late)} answers are late: {line}")
    else:
        must(rush.only(*BY_MODELS, "200 fallback"), f"not answered: {line}")
    print(line, flush=True)


def _most(stack: Stack) -> float:
    """How many requests a second are answered when CLIENTS each ask as soon as they are answered."""
    load, end = Load(), time.monotonic() + SECONDS

    def client() -> None:
        while time.monotonic() < end:
            _one(stack, load)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(client)
    return len(load.answered) / SECONDS


def _ask(stack: Stack, rate: float) -> Load:
    """Asks so many a second, whether those before are answered or not."""
    load, waiting, due = Load(), set[Future[None]](), time.monotonic()
    end = due + SECONDS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            due += 1 / rate
            waiting = {future for future in waiting if not future.done()}
            if len(waiting) < AT_ONCE:
                waiting.add(pool.submit(_one, stack, load))
            else:
                load.unasked += 1
    return load


def _one(stack: Stack, load: Load) -> None:
    headers = {"content-type": "application/json", "rendezvous-deadline-ms": str(DEADLINE_MS)}
    start = time.monotonic()
    try:
        status, said = stack.call("POST", "", headers, json.dumps(FLIGHT))
        body = json.loads(said or b"{}")
    except NO_ANSWER as error:
        status, body = 0, {"kind": type(error).__name__}
    seconds = time.monotonic() - start
    with load.lock:
        load.told[f"{status or ''} {body.get('kind', '')}".strip()] += 1
        (load.answered if status == http.HTTPStatus.OK else load.refused).append(seconds)


def _took(seconds: list[float]) -> str:
    return f"p50 {percentile(seconds, 0.5):.0f} ms, p99 {percentile(seconds, 0.99):.0f} ms"
