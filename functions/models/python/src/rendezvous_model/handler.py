"""The Lambda function of one model."""

import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rendezvous_model import artifact as artifacts
from rendezvous_model import batch, calls, clock, environment, limits, metrics, names, payloads, score
from rendezvous_model.outbox import Outbox
from rendezvous_model.request import Request
from rendezvous_model.stream import KinesisClient, Record, Stream

T = TypeVar("T")

# A request and its position in the batch.
Numbered = tuple[int, Request]


@dataclass(frozen=True)
class Profile:
    """What is known of a model."""

    id: str
    endpoints: frozenset[str]
    timeout_ms: int
    scores_expired: bool
    largest_batch: int
    artifact: str | None = None


def model(
    id: str,
    *,
    endpoints: Sequence[str],
    score: Callable[[Any], Any] | None = None,
    score_batch: Callable[[list[Any]], list[Any]] | None = None,
    timeout_ms: int = 1_000,
    scores_expired: bool = False,
    largest_batch: int | None = None,
    artifact: str | Path | None = None,
) -> "Handler":
    """The Lambda handler of a model, `name@version`, which scores the requests of these endpoints.

    Either `score` gets one payload and returns its score, or `score_batch` gets at most `largest_batch` payloads (100 unless
    given) and returns a list with one score for each. A payload is what the json module reads; a score is any value that it
    can write, but None.

    A call that takes longer than `timeout_ms` is the failure `timed_out`. With `scores_expired` requests past their deadline
    are scored, too, instead of being answered `expired`.

    `artifact` says from what the model scores, and every score says so: a path, of whose file the hash is taken, or a text such
    as `version:3`. Without it, it is the hash of the file in which the function stands.

    Raises ValueError for wrong arguments, and for an environment that does not fit them.
    """
    if (score is None) == (score_batch is None):
        raise ValueError("give either score or score_batch")
    if inspect.iscoroutinefunction(score or score_batch):
        raise ValueError("score and score_batch must be plain functions, not async ones")
    if score is not None and largest_batch is not None:
        raise ValueError("largest_batch is for score_batch: score gets one payload at a time")
    function = score or score_batch
    assert function is not None
    largest = (100 if largest_batch is None else largest_batch) if score is None else 1
    named = artifacts.of(artifact, function)
    profile = Profile(id, frozenset(_endpoints(endpoints)), timeout_ms, scores_expired, largest, named)
    _check(profile)
    return Handler(profile, score_batch or _one_by_one(score))


class Handler:
    """The Lambda handler of one model: call it with an event and a context."""

    def __init__(self, profile: Profile, score_batch: calls.ScoreBatch) -> None:
        self.profile = profile
        self._score_batch = score_batch
        self._stack = "local"
        self._stream: Stream | None = None
        self._payloads = payloads.store()
        self._function_timeout = _function_timeout(profile)
        environment.set_log_level()
        if environment.on_lambda():
            # Now, because a cold start has more processor time than the first request.
            self._stack = environment.required("STACK")
            self._stream = _scores()

    def using(
        self, client: KinesisClient, stream: str = "scores", store: payloads.Store | None = None
    ) -> "Handler":
        """The same handler with another client of Kinesis, and another store of large payloads, for tests."""
        other = copy.copy(self)
        other._stream = Stream(stream, client)
        other._payloads = store or self._payloads
        return other

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        """Scores a batch. The response names the first request whose score or failure was not sent."""
        if self._stream is None:
            self._stream = _scores()
        outbox = Outbox(self._stream)
        work = _Work(self.profile, self._score_batch, self._payloads, outbox, self._function_timeout)
        return work.run(batch.read(event), self._stack)


class _Work:
    """One batch that is being scored."""

    def __init__(
        self,
        profile: Profile,
        score_batch: calls.ScoreBatch,
        store: payloads.Store,
        outbox: Outbox,
        function_timeout: float,
    ) -> None:
        self._profile = profile
        self._score_batch = score_batch
        self._payloads = store
        self._outbox = outbox
        # The numbers of requests whose payload cannot be read now.
        self._again: set[int] = set()
        self._limits = limits.Limits(profile.timeout_ms / 1_000, function_timeout)
        self._report = metrics.Report()

    def run(self, read: batch.Batch, stack: str) -> dict[str, Any]:
        requests = [(i, request) for i, (_, request) in enumerate(read.requests) if self._is_mine(request)]
        self._report.requests = len(requests)
        self._report.unreadable = read.unreadable
        self._report.lag_us = read.lag_us()
        live = self._without_expired(requests)
        for portion in _portions(live):
            readable = self._with_payloads(self._without_expired(portion))
            for chunk in _chunks(readable, self._profile.largest_batch):
                # Their deadlines may have passed while others were scored.
                self._score(self._without_expired(chunk))
        unsent = self._outbox.close() | self._again
        self._report.unsent = len(unsent)
        # In one piece, so that no line of the log gets in between.
        sys.stdout.write(metrics.line(stack, self._profile.id, self._report) + "\n")
        sys.stdout.flush()
        # "Lambda uses the lowest sequence number as the checkpoint", so that one is enough.
        return {"batchItemFailures": [{"itemIdentifier": read.requests[i][0]} for i in sorted(unsent)[:1]]}

    def _is_mine(self, request: Request) -> bool:
        return request.endpoint in self._profile.endpoints and self._profile.id not in request.skip

    def _without_expired(self, requests: Sequence[Numbered]) -> list[Numbered]:
        """The requests whose deadline has not passed; the others are answered."""
        if self._profile.scores_expired:
            return list(requests)
        now = clock.now_us()
        expired = [(i, request) for i, request in requests if request.deadline_us <= now]
        failure = score.failure("expired", "the request's deadline had passed")
        self._send(expired, [failure] * len(expired), now)
        return [(i, request) for i, request in requests if request.deadline_us > now]

    def _with_payloads(self, requests: Sequence[Numbered]) -> list[Numbered]:
        """The requests with their payloads. Those whose payload was not read are answered, or come again."""
        started_us = clock.now_us()
        readable = []
        for (i, request), found in zip(
            requests, payloads.fetch_all(self._payloads, [request for _, request in requests]), strict=True
        ):
            if isinstance(found, Request):
                readable.append((i, found))
            elif isinstance(found, payloads.Unavailable) and request.deadline_us <= clock.now_us():
                # Nobody waits for its score any more: it is scored when the store answers.
                self._again.add(i)
            else:
                what = "payload store is unavailable" if isinstance(found, payloads.Unavailable) else str(found)
                failure = score.failure("failed", f"the payload was not read: {what}")
                self._send([(i, request)], [failure], started_us)
        return readable

    def _score(self, requests: Sequence[Numbered]) -> None:
        started_us = clock.now_us()
        results = calls.results(self._score_batch, [request for _, request in requests], self._limits)
        self._send(requests, results, started_us)

    def _send(self, requests: Sequence[Numbered], results: Sequence[score.Result], started_us: int) -> None:
        if not requests:
            return
        # The wall clock may be set back in between.
        finished_us = max(started_us, clock.now_us())
        records = []
        for (i, request), result in zip(requests, results, strict=True):
            self._report.count(result, finished_us - started_us)
            profile = self._profile
            data = score.write(request.raw_envelope, profile.id, started_us, finished_us, result, profile.artifact)
            records.append((i, Record(request.key, data)))
        self._outbox.add(records)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _portions(requests: Sequence[Numbered]) -> Iterator[list[Numbered]]:
    """Those that have their payloads, then the others in portions that may be held at a time."""
    portion = [numbered for numbered in requests if numbered[1].reference is None]
    held = payloads.MAX_HELD_BYTES
    for i, request in requests:
        if request.reference is None:
            continue
        held += request.reference.bytes
        if held > payloads.MAX_HELD_BYTES:
            yield portion
            portion, held = [], request.reference.bytes
        portion.append((i, request))
    yield portion


def _one_by_one(score: Callable[[Any], Any] | None) -> calls.ScoreBatch:
    assert score is not None
    return lambda payloads: [score(payload) for payload in payloads]


def _endpoints(endpoints: Sequence[str]) -> Sequence[str]:
    # A text is a sequence, too: of its letters.
    if isinstance(endpoints, str) or not endpoints:
        raise ValueError('endpoints must be a list of names, e.g. ["fraud"]')
    for name in endpoints:
        if not names.is_slug(name):
            raise ValueError(
                f"endpoint {name!r} must be 1 to 64 of a-z, 0-9 and '-', with a letter or digit at both ends"
            )
    return endpoints


def _check(profile: Profile) -> None:
    if not names.is_model(profile.id):
        raise ValueError(
            f"model id {profile.id!r} must be name@version: a name of 1 to 64 of a-z, 0-9, '.', '_', '-' "
            "and a version of 1 to 32 of the same and A-Z"
        )
    longest = int(limits.longest_model_timeout(limits.MAX_FUNCTION_TIMEOUT) * 1_000)
    for name, value, most in [
        ("timeout_ms", profile.timeout_ms, longest),
        ("largest_batch", profile.largest_batch, 10_000),
    ]:
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"{name} must be a whole number from 1 to {most}, not {value!r}")
    _check_deployed(profile.id)


def _check_deployed(id: str) -> None:
    deployed = environment.optional("MODEL")
    if deployed not in (None, id):
        raise ValueError(
            f"the environment variable MODEL is {deployed}, but the handler's model is {id}: set the parameter Model of the "
            f"stack to {id}, or deploy the handler of {deployed}"
        )


def _function_timeout(profile: Profile) -> float:
    """The function's time-out in seconds, if the model's own fits."""
    function = environment.number("FUNCTION_TIMEOUT_SECONDS")
    if function is None:
        return limits.DEFAULT_FUNCTION_TIMEOUT
    longest_ms = int(limits.longest_model_timeout(function) * 1_000)
    if profile.timeout_ms <= longest_ms:
        return function
    last = limits.SEND_WITHIN + limits.RESERVE
    shorter = f"timeout_ms to {longest_ms} or less, or " if longest_ms else ""
    needed = -(-profile.timeout_ms // 1_000) + last
    raise ValueError(
        f"the time-out of model {profile.id} is {profile.timeout_ms} ms, but its function ends after {function} s, the last "
        f"{last:.0f} s of which are for sending scores: set {shorter}the function's time-out to {needed:.0f} s or more"
    )


def _scores() -> Stream:
    """The stream that SCORES_STREAM names, with one client for all invocations."""
    name = environment.required("SCORES_STREAM")
    # Here, because the import takes longer than all others together, and a test with a client of its own needs none.
    import boto3
    from botocore.config import Config

    # An answer takes some milliseconds; one that has not come after a second is lost, and there is time for another attempt.
    # Attempts are counted and delayed in `Stream.put`, and nowhere else. AWS_REGION is the variable that Lambda documents; boto3
    # reads another one.
    config = Config(connect_timeout=0.5, read_timeout=1, retries={"total_max_attempts": 1}, tcp_keepalive=True)
    return Stream(name, boto3.client("kinesis", region_name=environment.optional("AWS_REGION"), config=config))
