"""Stands between a function and AWS, and refuses what a check wants refused."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# What DynamoDB says when a partition has no capacity left.
THROTTLED = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput for the table was exceeded.",
    }
).encode()

# A call of DynamoDB, as far as a check looks at it: the operation and its arguments.
Refuses = Callable[[str, dict[str, Any]], bool]


class Proxy:
    """Forwards calls to an endpoint, except those that are refused as throttled."""

    def __init__(self, url: str) -> None:
        self.refuses: Refuses = lambda _, __: False
        self.refused = 0
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(url)))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
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


def _handler(proxy: Proxy, place: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def setup(self) -> None:
            super().setup()
            proxy.opened(self.connection)

        def finish(self) -> None:
            proxy.closed(self.connection)
            # A connection may have been dropped.
            with contextlib.suppress(OSError):
                super().finish()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if proxy.decide(self.headers.get("X-Amz-Target", ""), body):
                self._reply(400, THROTTLED)
                return
            upstream = http.client.HTTPConnection(place.hostname, place.port, timeout=40)
            upstream.request("POST", self.path, body, dict(self.headers.items()))
            got = upstream.getresponse()
            answer = got.read()
            upstream.close()
            self._reply(got.status, answer)

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    return Handler
