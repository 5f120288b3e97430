"""What Lambda and Kinesis are to a function: two small servers on loopback."""

import base64
import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUNTIME = "/2018-06-01/runtime"


class Api:
    """The Runtime API of one function. `invoke` hands it an event and returns what the function responds."""

    def __init__(self) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.posts: queue.Queue[tuple[str, Any]] = queue.Queue()

    def invoke(self, event: Any) -> tuple[str, Any]:
        self.events.put(event)
        return self.posts.get(timeout=30)

    def get(self, _path: str) -> tuple[int, dict[str, str], bytes]:
        headers = {
            "Lambda-Runtime-Aws-Request-Id": "invocation-1",
            "Lambda-Runtime-Deadline-Ms": str(round(time.time() * 1_000) + 30_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:000000000000:function:demo-rule-1",
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            "Content-Type": "application/json",
        }
        return 200, headers, json.dumps(self.events.get()).encode()

    def post(self, path: str, _headers: Any, body: bytes) -> tuple[int, bytes]:
        self.posts.put((path.removeprefix(RUNTIME), json.loads(body)))
        return 202, b'{"status":"OK"}'


class Kinesis:
    """Takes what is put."""

    def __init__(self) -> None:
        self.puts: list[dict[str, Any]] = []

    def get(self, _path: str) -> tuple[int, dict[str, str], bytes]:
        return 404, {}, b""

    def post(self, _path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        assert headers["X-Amz-Target"] == "Kinesis_20131202.PutRecords", headers
        put = json.loads(body)
        self.puts.append(put)
        records = [{"SequenceNumber": "1", "ShardId": "shardId-000000000000"} for _ in put["Records"]]
        return 200, json.dumps({"FailedRecordCount": 0, "Records": records}).encode()

    def messages(self) -> list[Any]:
        return [json.loads(base64.b64decode(record["Data"])) for put in self.puts for record in put["Records"]]


class Server(ThreadingHTTPServer):
    # A function that has ended leaves a thread that waits for its next request.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_arguments: Any) -> None:
        """A function that is ended closes its connections without a word; nothing is wrong then."""


@contextlib.contextmanager
def served(service: Any) -> Iterator[str]:
    """Serves it while the block runs; gives the address."""

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond(*service.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = service.post(self.path, self.headers, body)
            self.respond(status, {"Content-Type": "application/x-amz-json-1.1"}, answer)

        def respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # The function may have ended.
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Requests)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
