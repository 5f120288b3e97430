"""Stands between a function and AWS, and refuses what a check wants refused."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from native_localstack.serving import HOST, Handler, Server

# What DynamoDB says when a partition has no capacity left.
THROTTLED = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput for the table was exceeded.",
    }
).encode()

KIND = "application/x-amz-json-1.0"

# A call of DynamoDB, as far as a check looks at it: the operation and its arguments.
Refuses = Callable[[str, dict[str, Any]], bool]


class Proxy:
    """Forwards calls to an endpoint, except those that are refused as throttled."""

    def __init__(self, url: str) -> None:
        self.refuses: Refuses = lambda _, __: False
        self.refused = 0
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = Server((HOST, 0), _handler(self, urlsplit(url)))
        self.url = f"http://{HOST}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def decide(self, target: str, body: bytes) -> bool:
        """Whether a call is refused."""
        operation = target.rpartition(".")[2]
        if not self.refuses(operation, json.loads(body or b"{}")):
            return False
        self.refused += 1
        return True

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(connection)

    def drop_connections(self) -> int:
        """Closes all connections of the function, as servers do with idle ones; returns how many there were."""
        with self._lock:
            for connection in self._sockets:
                connection.shutdown(socket.SHUT_RDWR)
            return len(self._sockets)


def _handler(proxy: Proxy, place: Any) -> type[Handler]:
    class Calls(Handler):
        def setup(self) -> None:
            super().setup()
            proxy.opened(self.connection)

        def finish(self) -> None:
            proxy.closed(self.connection)
            # A connection may have been dropped.
            with contextlib.suppress(OSError):
                super().finish()

        def do_POST(self) -> None:
            body = self.body()
            if proxy.decide(self.headers.get("X-Amz-Target", ""), body):
                self.reply(400, THROTTLED, KIND)
                return
            upstream = http.client.HTTPConnection(place.hostname, place.port, timeout=40)
            upstream.request("POST", self.path, body, dict(self.headers.items()))
            got = upstream.getresponse()
            answer = got.read()
            upstream.close()
            self.reply(got.status, answer, KIND)

    return Calls
