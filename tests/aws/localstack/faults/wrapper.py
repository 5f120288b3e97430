#!/usr/bin/python3 -S
"""The bootstrap of a model under test: the model's own program, `model`, behind a Runtime API that looks at each batch.

A record whose payload has the note "poison" ends the process, as a crash in a native library would. SLOW_SECONDS makes each
batch take longer. Each batch is a line in the log. Runs with the Python of any Linux, without packages.
"""

import base64
import http.client
import json
import os
import subprocess
import threading
import time
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


def ids(payload: bytes) -> tuple[list[str], bool]:
    """The requests of a batch, and whether one is poison."""
    records = [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in json.loads(payload)["Records"]]
    poison = any('"poison"' in json.dumps(record.get("payload")) for record in records)
    return [record["envelope"]["id"] for record in records], poison


class RuntimeApi(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    begun = 0.0
    batch: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None:
        pass

    def forward(self, body: bytes | None = None) -> tuple[HTTPResponse, bytes]:
        upstream = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        upstream.request(self.command, self.path, body)
        got = upstream.getresponse()
        return got, got.read()

    def reply(self, got: HTTPResponse, body: bytes) -> None:
        self.send_response(got.status)
        for name, value in got.getheaders():
            if name.lower().startswith("lambda-") or name.lower() == "content-type":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        got, payload = self.forward()
        RuntimeApi.batch, poison = ids(payload)
        RuntimeApi.begun = time.time()
        if poison:
            self.log(crashed=True)
            model.kill()
            os._exit(139)
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
        self.reply(got, payload)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # Before the answer, after which the process is frozen.
        self.log(crashed=False)
        self.reply(*self.forward(body))

    def log(self, *, crashed: bool) -> None:
        line = {"batch": self.batch, "from": self.begun, "to": time.time(), "crashed": crashed, "pid": os.getpid()}
        print(json.dumps(line), flush=True)


server = ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
environment = dict(os.environ, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{server.server_port}")
model = subprocess.Popen([os.path.join(os.environ["LAMBDA_TASK_ROOT"], "model")], env=environment)
threading.Thread(target=server.serve_forever, daemon=True).start()
os._exit(model.wait() or 1)
