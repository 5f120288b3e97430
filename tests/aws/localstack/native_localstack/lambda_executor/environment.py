"""One execution environment: a function's process, frozen between invocations as on Lambda."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

from native_localstack.lambda_executor.runtime_api import Callbacks, Invocation, RuntimeApi

INIT_SECONDS = 10
# How long after its answer a function may take to ask for the next invocation. What it logs until then belongs to the
# invocation that it has answered.
AFTER_SECONDS = 1.0
# How long a function with an extension may take to end when it is told to.
END_SECONDS = 2.0
# How often a process is looked after that neither answers nor ends.
LOOK_SECONDS = 0.25


class NotStarted(Exception):
    """A function that ended, failed or hung before it asked for its first invocation."""


@dataclass(frozen=True)
class Answer:
    """What a function has answered, or how it failed, and what it has logged meanwhile."""

    body: bytes
    failed: bool
    logs: str


class Environment:
    """A running function. Used by one thread at a time."""

    def __init__(self, command: list[str], code: str, variables: dict[str, str], timeout_seconds: int) -> None:
        self._timeout = timeout_seconds
        self._invocations: queue.Queue[Invocation | None] = queue.Queue()
        self._answers: queue.Queue[tuple[str, bytes, bool]] = queue.Queue()
        self._waits = threading.Event()
        self._error: bytes | None = None
        self._frozen = False
        self._registered = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._api = RuntimeApi(
            Callbacks(self._next, self._answered, self._not_started, self._register, self._await_end)
        )
        # A file and no pipe: all that a function has written is in it when the function asks for the next invocation.
        self._log = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._logged = 0
        own = {"AWS_LAMBDA_RUNTIME_API": self._api.address, "LAMBDA_TASK_ROOT": code, "PATH": "/usr/bin:/bin"}
        # Its first call may come before its process is known here.
        with self._lock:
            self.process = subprocess.Popen(
                command,
                cwd=code,
                env=variables | own,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
        self._await_start()

    def _await_start(self) -> None:
        end = time.monotonic() + INIT_SECONDS
        while not self._waits.wait(LOOK_SECONDS) and self.process.poll() is None and time.monotonic() < end:
            pass
        if self._error or not self._waits.is_set():
            said = self._error or self.logs().encode()
            self.kill()
            raise NotStarted(said[-1000:].decode(errors="replace"))

    def _next(self) -> Invocation | None:
        self._waits.set()
        with self._lock:
            if self._invocations.empty():
                self._frozen = True
                self.process.send_signal(signal.SIGSTOP)
        return self._invocations.get()

    def _answered(self, request: str, body: bytes, failed: bool) -> None:
        self._answers.put((request, body, failed))

    def _not_started(self, error: bytes) -> None:
        self._error = error
        self._waits.set()

    def _register(self) -> None:
        self._registered = True

    def _await_end(self) -> None:
        self._ended.wait()

    @property
    def runs(self) -> bool:
        """Whether the process has not ended; one that is frozen runs."""
        return self.process.poll() is None

    def invoke(self, invocation: Invocation) -> Answer:
        """Thaws the function, and waits for its answer, its end or its time-out."""
        start = time.monotonic()
        self._waits.clear()
        with self._lock:
            self._invocations.put(invocation)
            if self._frozen:
                self._frozen = False
                self.process.send_signal(signal.SIGCONT)
        body, failed = self._await_answer(invocation.id, start + self._timeout)
        if not self._ended.is_set():
            self._waits.wait(AFTER_SECONDS)
        took = (time.monotonic() - start) * 1000
        logs = (
            f"START RequestId: {invocation.id} Version: $LATEST\n{self.logs()}"
            f"END RequestId: {invocation.id}\nREPORT RequestId: {invocation.id}\tDuration: {took:.2f} ms\n"
        )
        return Answer(body, failed, logs)

    def _await_answer(self, request: str, end: float) -> tuple[bytes, bool]:
        while True:
            left = end - time.monotonic()
            with contextlib.suppress(queue.Empty):
                answered, body, failed = self._answers.get(timeout=max(0.001, min(LOOK_SECONDS, left)))
                if answered == request:
                    return body, failed
                continue
            status = self.process.poll()
            if status is not None:
                self.kill()
                message = f"Runtime exited with error: exit status {status}"
                return _failure(request, "Runtime.ExitError", message), True
            if time.monotonic() >= end:
                self.kill()
                message = f"Task timed out after {self._timeout}.00 seconds"
                return _failure(request, "Sandbox.Timedout", message), True

    def logs(self) -> str:
        """What the function has written since the last call."""
        size = os.fstat(self._log.fileno()).st_size
        # At a place of its own: the function writes where the file's own pointer is.
        text = os.pread(self._log.fileno(), size - self._logged, self._logged).decode(errors="replace")
        self._logged = size
        return text

    def end(self) -> str:
        """Ends the process, and tells one with an extension before, as Lambda does; returns what it has logged."""
        if self._registered and self.runs:
            with self._lock:
                self._frozen = False
                self.process.send_signal(signal.SIGTERM)
                self.process.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
        logs = self.logs()
        self.kill()
        return logs

    def kill(self) -> None:
        """Ends the process, frozen or not."""
        self._ended.set()
        self.process.kill()
        self.process.wait()
        self._invocations.put(None)
        self._api.close()


def _failure(request: str, kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": f"RequestId: {request} Error: {message}"}).encode()
