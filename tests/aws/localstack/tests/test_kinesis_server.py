import base64
import json
import threading
import unittest
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

from native_localstack.kinesis.server import Error, Server, arguments


class Gateway(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(self.headers["X-Amz-Target"].encode() + b" " + body)


class Servers(unittest.TestCase):
    def setUp(self) -> None:
        self.gateway = HTTPServer(("127.0.0.1", 0), Gateway)
        thread = threading.Thread(target=self.gateway.serve_forever)
        thread.start()
        self.addCleanup(self.gateway.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.gateway.shutdown)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.server = Server(self.put, self.gateway.server_port)

    def put(self, operation: str, region: str, found: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, region, found))
        if found.get("stream_name") == "missing":
            raise Error("ResourceNotFoundException", "Stream missing not found.")
        return {"FailedRecordCount": 0}

    def call(self, operation: str, body: bytes) -> tuple[int, str, bytes]:
        connection = HTTPConnection("127.0.0.1", urlsplit(self.server.url).port or 0)
        headers = {
            "X-Amz-Target": f"Kinesis_20131202.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20261129/eu-west-1/kinesis/aws4_request, Signature=b",
        }
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        answer = (response.status, response.headers.get_content_type(), response.read())
        connection.close()
        return answer

    def test_records_are_put_in_the_region_of_the_signature(self) -> None:
        record = {"Data": base64.b64encode(b"\xff1").decode(), "PartitionKey": "k"}
        status, _, body = self.call("PutRecords", json.dumps({"Records": [record], "StreamName": "s"}).encode())
        self.assertEqual((status, json.loads(body)), (200, {"FailedRecordCount": 0}))
        put = {"records": [{"Data": b"\xff1", "PartitionKey": "k"}], "stream_name": "s"}
        self.assertEqual(self.asked, [("put_records", "eu-west-1", put)])

    def test_an_error_has_its_code(self) -> None:
        status, _, body = self.call("PutRecord", json.dumps({"StreamName": "missing", "Data": ""}).encode())
        self.assertEqual(status, 400)
        self.assertEqual(json.loads(body)["__type"], "ResourceNotFoundException")

    def test_what_is_no_json_is_an_error(self) -> None:
        status, _, body = self.call("PutRecords", b"{")
        self.assertEqual((status, json.loads(body)["__type"]), (400, "SerializationException"))

    def test_other_operations_are_those_of_the_gateway(self) -> None:
        self.assertEqual(self.call("ListShards", b"{}"), (201, "text/plain", b"Kinesis_20131202.ListShards {}"))
        self.assertEqual(self.asked, [])

    def test_names_of_arguments(self) -> None:
        body = {"StreamARN": "a", "ExplicitHashKey": "1", "PartitionKey": "k", "Data": "eA=="}
        wanted = {"stream_arn": "a", "explicit_hash_key": "1", "partition_key": "k", "data": b"x"}
        self.assertEqual(arguments(body), wanted)


if __name__ == "__main__":
    unittest.main()
