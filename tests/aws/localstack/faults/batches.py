"""Checks of what becomes of batches on which a function fails."""

import base64
import hashlib
import json
import time
from typing import Any

from faults.proxy import Proxy
from faults.stack import FLIGHT, LANES, MODELS, RETRIES, Reply, Stack, eventually, must
from faults.wrap import wrap

# Longer than any check takes: nobody but rendezvous decides.
LONG_MS = 120_000
# How often a function calls DynamoDB until it takes a write for refused.
CALLS = 3


def _ask_in_order(stack: Stack, count: int, key: str) -> list[Reply]:
    """Requests each of which all models have scored before the next is asked."""
    since, asked = time.time(), list[Reply]()
    for _ in range(count):
        reply = stack.ask(key=key, deadline_ms=LONG_MS, wait=False)
        wanted = {(reply.id, model) for model in MODELS}
        eventually("all models have scored", lambda wanted=wanted: stack.scored(since) >= wanted)
        asked.append(reply)
    return asked


def _of(request: str) -> Any:
    """Refuses the writes of one mailbox."""
    return lambda operation, arguments: operation == "UpdateItem" and arguments["Key"]["id"]["S"] == request


def _decided(stack: Stack, asked: list[Reply]) -> bool:
    return all("decision" in stack.mailbox(reply.id) for reply in asked)


def returned(stack: Stack, proxy: Proxy) -> str:
    """Scores that cannot be filed come again alone."""
    mapping, function = stack.outputs["RendezvousMapping"], stack.outputs["RendezvousFunction"]
    stack.switch(mapping, False)
    asked = _ask_in_order(stack, 6, key="returned")
    stack.end(function)
    since, refused = time.time(), proxy.refused
    proxy.refuses = _of(asked[-1].id)
    stack.switch(mapping, True)
    eventually("the scores have come again twice", lambda: proxy.refused > refused + 2 * CALLS)
    must(_decided(stack, asked[:-1]), "a request beside the refused one is not decided")
    must(not _decided(stack, asked[-1:]), "the refused request is decided")
    proxy.refuses = lambda _, __: False
    eventually("the request is decided", lambda: _decided(stack, asked))
    # The invocation ends, and the function prints the metrics that it holds.
    time.sleep(1)
    stack.end(function)

    def counted(metric: str) -> list[int]:
        return sorted(stack.counted(function, metric, since))

    eventually("the last try is counted", lambda: 0 in counted("ScoresRetried"))
    read, again, alone = counted("ScoresRead"), counted("ScoresRetried"), len(MODELS)
    tries = len(read) - 1
    must(tries > 1, f"the scores came again {tries} times")
    must(
        read == [alone] * tries + [6 * alone],
        f"of {6 * alone} scores, more than the {alone} refused came again: {read}",
    )
    must(again == [0] + [alone] * tries, f"of the scores of the tries came again {again}")
    must(not stack.failures(mapping), "something lies in the failure bucket")
    return f"of {6 * alone} scores {alone} came again alone, {tries} times, until they were filed"


def bisected(stack: Stack, _: Proxy) -> str:
    """A batch on which a model crashes is bisected, ends after its retries, and lies whole in the failure bucket."""
    model = "gbt@1"
    mapping, function = stack.mapping(model), stack.function(model)
    stack.switch(mapping, False)
    wrap(stack, model)
    since = time.time()
    asked = [
        stack.ask(note="poison" if number == 5 else "", key="bisected", deadline_ms=LONG_MS, wait=False)
        for number in range(8)
    ]
    poison = asked[5].id
    stack.switch(mapping, True)
    kept = eventually("the record is in the failure bucket", lambda: stack.failures(mapping))

    def handled() -> set[str]:
        batches = (line for line in stack.logged(function, since) if line.get("crashed") is False)
        return {request for line in batches for request in line["batch"]}

    others = {reply.id for reply in asked} - {poison}
    eventually("the other requests are scored", lambda: handled() >= others)
    sizes = [len(line["batch"]) for line in stack.logged(function, since) if line.get("crashed")]
    must(sizes == [8, 4, 2] + [1] * (1 + RETRIES), f"the crashed batches had {sizes} records")
    must(len(kept) == 1, f"{len(kept)} objects are in the failure bucket")
    records = _records(kept[0])
    must([record["envelope"]["id"] for record in records] == [poison], "other records are in the failure bucket")
    must(records[0]["payload"] == FLIGHT | {"note": "poison"}, "the record is not whole")
    must(kept[0]["requestContext"]["condition"] == "RetryAttemptsExhausted", str(kept[0]["requestContext"]))
    return f"crashed batches of {sizes}; then 1 record whole in the failure bucket, the 7 others scored"


def too_old(stack: Stack, _: Proxy) -> str:
    """Records over age go to the failure bucket without a try."""
    model = "mlp@1"
    mapping = stack.mapping(model)
    stack.switch(mapping, False)
    old = {stack.ask(key="old", deadline_ms=LONG_MS, wait=False).id for _ in range(3)}
    # The least that Lambda takes.
    time.sleep(61)
    since = time.time()
    young = {stack.ask(key="old", deadline_ms=LONG_MS, wait=False).id for _ in range(2)}
    stack.switch(mapping, True, MaximumRecordAgeInSeconds=60)
    kept = eventually("the records are in the failure bucket", lambda: stack.failures(mapping))

    def scored() -> set[str]:
        return {request for request, by in stack.scored(since) if by == model}

    eventually("the young requests are scored", lambda: scored() >= young)
    ids = [record["envelope"]["id"] for each in kept for record in _records(each)]
    conditions = {each["requestContext"]["condition"] for each in kept}
    must(sorted(ids) == sorted(old) and not young & set(ids), f"in the failure bucket are {ids}, not {old}")
    must(conditions == {"RecordAgeExceeded"}, f"the conditions are {conditions}")
    must(scored() == young, "an old request was scored")
    return f"{len(ids)} records of 61 s in the failure bucket, the 2 after them scored"


def ordered(stack: Stack, _: Proxy) -> str:
    """The parallelization factor keeps the order of a key."""
    model = "timetable@1"
    mapping, function = stack.mapping(model), stack.function(model)
    stack.switch(mapping, False)
    wrap(stack, model, SLOW_SECONDS="0.3")
    since = time.time()
    keys = _keys_of_the_first_shard(8)
    asked: dict[str, list[str]] = {key: [] for key in keys}
    for key in keys * 5:
        asked[key].append(stack.ask(key=key, deadline_ms=LONG_MS, wait=False).id)
    stack.switch(mapping, True, BatchSize=3)

    def batches() -> list[dict[str, Any]]:
        return [line for line in stack.logged(function, since) if "batch" in line]

    def scored() -> set[str]:
        return {request for line in batches() for request in line["batch"]}

    eventually("40 requests are scored", lambda: len(scored()) >= 40)
    lines = sorted(batches(), key=lambda line: line["from"])
    # A request is on the stream twice if the first put was answered too late.
    seen = dict.fromkeys(request for line in lines for request in line["batch"])
    for key, ids in asked.items():
        found = [ids.index(request) for request in seen if request in ids]
        must(found == list(range(len(ids))), f"the requests of {key} came in the order {found}")
    together = max(sum(b["from"] <= a["from"] < b["to"] for b in lines) for a in lines)
    must(1 < together <= LANES, f"{together} batches of a shard were worked on at once")
    return f"{len(seen)} requests of 8 keys on a shard, {len(lines)} batches, {together} at once, each key in order"


def switched(stack: Stack, proxy: Proxy) -> str:
    """A mapping that is disabled amid retries goes on where it was."""
    mapping, refused = stack.outputs["RendezvousMapping"], proxy.refused
    proxy.refuses = lambda operation, _: operation == "UpdateItem"
    before = _ask_in_order(stack, 5, key="switched")
    eventually("scores come again", lambda: proxy.refused > refused + CALLS * len(before))
    stack.switch(mapping, False)
    calls = proxy.refused
    after = _ask_in_order(stack, 3, key="switched")
    time.sleep(2)
    must(proxy.refused == calls, "a disabled mapping goes on")
    proxy.refuses = lambda _, __: False
    must(not any(_decided(stack, [reply]) for reply in before), "a request was decided during the outage")
    stack.switch(mapping, True)
    eventually("all requests are decided", lambda: _decided(stack, before + after))
    must(not stack.failures(mapping), "something lies in the failure bucket")
    return f"disabled after {calls - refused} refused writes, enabled again: all of 5 requests before and 3 after are decided"


def _records(kept: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages in an object of the failure bucket. Lambda writes the payload as text, LocalStack as JSON."""
    payload = kept["payload"]
    event = json.loads(payload) if isinstance(payload, str) else payload
    return [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]


def _keys_of_the_first_shard(count: int) -> list[str]:
    """Partition keys whose hash is in the first quarter, which is the first of four shards."""
    keys: list[str] = []
    number = 0
    while len(keys) < count:
        number += 1
        key = f"key-{number}"
        if hashlib.md5(key.encode(), usedforsecurity=False).digest()[0] < 64:
            keys.append(key)
    return keys
