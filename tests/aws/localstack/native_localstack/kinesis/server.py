"""Where functions call Kinesis: records are taken without LocalStack's gateway, which takes much of its process's time."""

import base64
import http.client
import json
import re
from collections.abc import Callable
from threading import Thread
from typing import Any

from native_localstack import serving
from native_localstack.serving import HOST

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
        server = serving.Server((HOST, 0), _handler(put, gateway_port))
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


def _handler(put: Put, gateway_port: int) -> type[serving.Handler]:
    class Calls(serving.Handler):
        def do_POST(self) -> None:
            body = self.body()
            operation = OPERATIONS.get(self.headers.get("X-Amz-Target", "").rpartition(".")[2])
            if operation is None or "json" not in self.headers.get("Content-Type", ""):
                self._hand_on(body)
                return
            region = REGION.search(self.headers.get("Authorization", ""))
            try:
                answer = put(operation, region[1] if region else "us-east-1", arguments(json.loads(body)))
            except Error as error:
                self._answer(400, {"__type": error.code, "message": str(error)})
            except (ValueError, KeyError, TypeError) as error:
                self._answer(400, {"__type": "SerializationException", "message": repr(error)})
            else:
                self._answer(200, answer)

        def _hand_on(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(HOST, gateway_port, timeout=60)
            try:
                connection.request("POST", self.path, body, dict(self.headers.items()))
                response = connection.getresponse()
                self.reply(response.status, response.read(), response.headers.get_content_type())
            finally:
                connection.close()

        def _answer(self, status: int, answer: dict[str, Any]) -> None:
            self.reply(status, json.dumps(answer).encode(), "application/x-amz-json-1.1")

    return Calls
