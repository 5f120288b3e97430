import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from native_localstack.mappings.changes import Changes, Trimmed

STREAM = "table/ledger/stream/2026-11-29T00:00:00.000"
ITERATOR = f"arn:aws:dynamodb:us-east-1:000000000000:{STREAM}|001|one"


class Table(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[dict[str, Any]]] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, body = self.answers.pop(0)
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


RECORD = {
    "eventID": "a",
    "eventName": "INSERT",
    "awsRegion": "ddblocal",
    "dynamodb": {"ApproximateCreationDateTime": 1795967520.0, "NewImage": {"value": {"B": "AP9hYmM="}}},
}


class Reads(unittest.TestCase):
    def setUp(self) -> None:
        Table.answers, Table.asked = [], []
        server = ThreadingHTTPServer(("127.0.0.1", 0), Table)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.changes = Changes(server.server_port)
        self.addCleanup(self.changes.close)

    def answer(self, status: int, body: dict[str, Any]) -> None:
        Table.answers.append((status, json.dumps(body).encode()))

    def test_changes_are_as_they_came_without_what_the_mapping_adds(self) -> None:
        self.answer(200, {"Records": [RECORD], "NextShardIterator": "next"})
        event = {name: RECORD[name] for name in ("eventID", "eventName", "dynamodb")}
        self.assertEqual(self.changes.read(ITERATOR), ([event], "next"))
        wanted = f"arn:aws:dynamodb:ddblocal:000000000000:{STREAM}|001|one"
        self.assertEqual(Table.asked, [{"ShardIterator": wanted}])
        self.answer(200, {"Records": []})
        self.assertEqual(self.changes.read(wanted), ([], None))
        self.assertEqual(Table.asked[1], {"ShardIterator": wanted})

    def test_records_that_are_gone_are_told_from_other_errors(self) -> None:
        self.answer(400, {"__type": "com.amazonaws.dynamodb.v20120810#TrimmedDataAccessException"})
        with self.assertRaises(Trimmed):
            self.changes.read(ITERATOR)
        self.answer(400, {"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"})
        with self.assertRaisesRegex(OSError, "400 .*ResourceNotFound"):
            self.changes.read(ITERATOR)

    def test_a_connection_that_was_closed_is_opened_again(self) -> None:
        for status in (200, 0, 200):
            self.answer(status, {"Records": []})
        self.changes.read(ITERATOR)
        self.assertEqual(self.changes.read(ITERATOR), ([], None))
        self.assertEqual(len(Table.asked), 3)


if __name__ == "__main__":
    unittest.main()
