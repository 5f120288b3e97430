"""Where functions call Kinesis: records are taken without LocalStack's gateway, which takes ten times as long for a request."""

import base64
import http.client
import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

HOST = "127.0.0.1"

# An operation with the arguments of a request, by their names in Python: returns the answer, or raises an `Error`.
Put = Callable[[str, str, dict[str, Any]], dict[str, Any]]

# What is taken here. All else is LocalStack's.
OPERATIONS = {"PutRecord": "put_record", "PutRecords": "put_records"}

# What they are asked, and its names in Python.
ARGUMENTS = {
    "StreamName": "stream_name",
    "StreamARN": "stream_arn",
    "Records": "records",
    "Data": "data",
    "PartitionKey": "partition_key",
    "ExplicitHashKey": "explicit_hash_key",
}

# Credential=KEY/DATE/REGION/kinesis/aws4_request
REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")


class Error(Exception):
    """What Kinesis answers instead: the error's code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Server:
    """Serves PutRecord and PutRecords on a free port of the loopback interface, and hands on what else it is asked."""

    def __init__(self, put: Put, gateway_port: int) -> None:
        server = ThreadingHTTPServer((HOST, 0), _handler(put, gateway_port))
        server.daemon_threads = True
        self.url = f"http://{HOST}:{server.server_port}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 5}, daemon=True).start()


def arguments(body: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operation, with data decoded. What is not known here does not matter here."""
    found = {ARGUMENTS[name]: value for name, value in body.items() if name in ARGUMENTS}
    if "data" in found:
        found["data"] = base64.b64decode(found["data"])
    for record in found.get("records", []):
        record["Data"] = base64.b64decode(record["Data"])
    return found


def _handler(put: Put, gateway_port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer is one packet, and nothing holds it back.
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            operation = OPERATIONS.get(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
            if operation is None or "json" not in self.headers.get("Content-Type", ""):
                self._hand_on(body)
                return
            region = REGION.search(self.headers.get("Authorization", ""))
            try:
                answer = put(operation, region[1] if region else "us-east-1", arguments(json.loads(body)))
            except Error as error:
                self._reply(400, json.dumps({"__type": error.code, "message": str(error)}).encode())
            except (ValueError, KeyError, TypeError) as error:
                self._reply(400, json.dumps({"__type": "SerializationException", "message": repr(error)}).encode())
            else:
                self._reply(200, json.dumps(answer).encode())

        def _hand_on(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(HOST, gateway_port, timeout=60)
            try:
                connection.request("POST", self.path, body, dict(self.headers.items()))
                response = connection.getresponse()
                self._reply(response.status, response.read(), response.headers.get_content_type())
            finally:
                connection.close()

        def _reply(self, status: int, body: bytes, kind: str = "application/x-amz-json-1.1") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    return Handler
