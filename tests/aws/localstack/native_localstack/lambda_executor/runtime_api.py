"""The Runtime API and the Extensions API of Lambda, for one execution environment."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread

from native_localstack.serving import HOST, Handler, Server


@dataclass(frozen=True)
class Invocation:
    """What a function is asked."""

    id: str
    payload: bytes
    arn: str
    trace: str
    deadline_ms: int


@dataclass(frozen=True)
class Callbacks:
    """What happens when a function calls."""

    # It asks for the next invocation; None ends the connection.
    next: Callable[[], Invocation | None]
    # It has answered an invocation, or failed on it.
    answered: Callable[[str, bytes, bool], None]
    # It cannot start.
    not_started: Callable[[bytes], None]
    # It has registered an extension, so that its end is announced to it.
    registered: Callable[[], None]
    # Its extension asks for the next event, of which there is none: returns when the environment has ended.
    await_end: Callable[[], None]


class RuntimeApi:
    """A server on a free port of the loopback interface."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._server = Server((HOST, 0), _handler(callbacks))
        self.address = f"{HOST}:{self._server.server_port}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 5}, daemon=True).start()

    def close(self) -> None:
        """Takes no more calls."""
        # To stop takes as long as the server's poll interval; nobody has to wait for it.
        Thread(target=self._server.shutdown, daemon=True).start()
        self._server.server_close()


def _handler(callbacks: Callbacks) -> type[Handler]:
    class Calls(Handler):
        def do_GET(self) -> None:
            if self.path.endswith("/extension/event/next"):
                callbacks.await_end()
                self.close_connection = True
                return
            invocation = callbacks.next()
            if invocation is None:
                self.close_connection = True
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": invocation.id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
                "Lambda-Runtime-Trace-Id": invocation.trace,
            }
            self.reply(200, invocation.payload, headers=headers)

        def do_POST(self) -> None:
            body = self.body()
            if self.path.endswith("/extension/register"):
                callbacks.registered()
                said = b'{"functionName":"function","functionVersion":"$LATEST","handler":"bootstrap"}'
                self.reply(200, said, headers={"Lambda-Extension-Identifier": "extension"})
                return
            self.reply(202, b'{"status":"OK"}')
            if self.path.endswith("/init/error"):
                callbacks.not_started(body)
                return
            *_, request, what = self.path.split("/")
            callbacks.answered(request, body, what == "error")

    return Calls
