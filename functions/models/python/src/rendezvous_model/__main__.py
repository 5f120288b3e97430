"""Serves a handler on Lambda's Runtime API, with nothing but the standard library.

    python -m rendezvous_model handler.handle

does what `python -m awslambdaric handler.handle` does for the handlers of this package. awslambdaric is what Lambda itself
runs; this is for systems for which it has no compiled wheel, among them macOS. AWS_LAMBDA_RUNTIME_API is the address.
"""

import http.client
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rendezvous_model import clock
from rendezvous_model.environment import required
from rendezvous_model.score import type_name

log = logging.getLogger("rendezvous_model")

Handle = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Context:
    """What is known of an invocation."""

    aws_request_id: str
    invoked_function_arn: str
    deadline_ms: int

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self.deadline_ms - clock.now_us() // 1_000)


class RuntimeApi:
    """The Runtime API, version 2018-06-01."""

    def __init__(self, address: str) -> None:
        # No time-out: the next invocation may come in an hour.
        self._connection = http.client.HTTPConnection(address)

    def next(self) -> tuple[Context, Any]:
        """Waits for the next invocation; gives its context and event."""
        headers, body = self._call("GET", "invocation/next", None)
        context = Context(
            headers["Lambda-Runtime-Aws-Request-Id"],
            headers.get("Lambda-Runtime-Invoked-Function-Arn", ""),
            int(headers.get("Lambda-Runtime-Deadline-Ms", 0)),
        )
        return context, json.loads(body)

    def respond(self, context: Context, response: Any) -> None:
        self._call("POST", f"invocation/{context.aws_request_id}/response", response)

    def fail(self, what: str, error_type: str, message: str) -> None:
        """Reports an error: of `init`, or of `invocation/ID`."""
        error = {"errorType": error_type, "errorMessage": message, "stackTrace": []}
        self._call("POST", f"{what}/error", error)

    def _call(self, method: str, path: str, body: Any) -> tuple[http.client.HTTPMessage, bytes]:
        data = None if method == "GET" else json.dumps(body).encode()
        self._connection.request(method, f"/2018-06-01/runtime/{path}", data, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise ConnectionError(f"the Runtime API answered {response.status} to {method} {path}")
        return response.headers, answer


def load(name: str) -> Handle:
    """The handler with this name, `module.attribute`."""
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError(f"the handler {name!r} must be module.attribute, e.g. handler.handle")
    handle: Handle = getattr(importlib.import_module(module), attribute)
    return handle


def serve(api: RuntimeApi, handle: Handle) -> None:
    """Serves invocations until the Runtime API is gone."""
    while True:
        context, event = api.next()
        try:
            response = handle(event, context)
        except Exception as error:
            # Its text may quote the event.
            log.error("invocation %s failed: %s", context.aws_request_id, type_name(error))
            api.fail(f"invocation/{context.aws_request_id}", type_name(error), "see the type")
        else:
            api.respond(context, response)


def main() -> int:
    logging.basicConfig(stream=sys.stdout, format="[%(levelname)s] %(asctime)s %(message)s")
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m rendezvous_model handler.handle\n")
        return 2
    api = RuntimeApi(required("AWS_LAMBDA_RUNTIME_API"))
    # As Lambda does: modules are looked for where the function is.
    sys.path.insert(0, os.getcwd())
    try:
        handle = load(sys.argv[1])
    except Exception as error:
        log.exception("the function does not start")
        api.fail("init", type_name(error), str(error))
        return 1
    try:
        serve(api, handle)
    except OSError as error:
        log.info("the function ends: %s", type_name(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
