"""Requests that refer to their payloads."""

import base64
import hashlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from rendezvous_model import payloads
from rendezvous_model.payloads import MAX_HELD_BYTES, Bucket, Folder
from rendezvous_model.testing import Scores, event, record
from support import Bench, answer, handler, stopped

LARGE = '{ "text": "\\"é世🛫\\\\", "n": 1.50e0 }'


class Client:
    """A client of S3 that holds objects in memory."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects
        self.error: Exception | None = None
        self.reads = 0

    def get_object(self, *, Bucket: str, Key: str, Range: str) -> dict[str, Any]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        if Key not in self.objects:
            raise ServiceError("NoSuchKey")
        end = int(Range.removeprefix("bytes=0-")) + 1
        return {"Body": io.BytesIO(self.objects[Key][:end])}


class ServiceError(Exception):
    """As botocore's ClientError."""

    def __init__(self, code: str) -> None:
        super().__init__("secret")
        self.response = {"Error": {"Code": code}}


class Stored(Bench):
    def setUp(self) -> None:
        super().setUp()
        self.client = Client()
        self.store: payloads.Store = Bucket("b", self.client)

    def request(self, number: int, text: str, within_ms: int = 10_000, **changes: Any) -> dict[str, Any]:
        """The record of a request with this payload, which is stored."""
        data = event("e", None, within_ms=within_ms)["Records"][0]["kinesis"]["data"]
        message = json.loads(base64.b64decode(data))
        id = f"00000000-0000-0000-0000-{number:012}"
        message["envelope"]["id"] = id
        del message["payload"]
        key = f"payloads/e/{id}"
        self.client.objects[key] = text.encode()
        digest = hashlib.sha256(text.encode()).hexdigest()
        reference = {"url": f"{self.store.url}/{key}", "sha256": digest, "bytes": len(text.encode())}
        message["payload_ref"] = reference | changes
        return record(json.dumps(message).encode(), str(number))

    def sent_for(self, handle: Any, *records: dict[str, Any]) -> tuple[list[str], list[Any]]:
        """The sequence numbers that come again, and the answers."""
        scores = Scores()
        with mock.patch("sys.stdout", self.output):
            response = handle.using(scores, store=self.store)({"Records": list(records)})
        again = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
        return again, [answer(message) for message in scores.messages()]

    def test_the_model_gets_what_was_stored(self) -> None:
        handle = handler(score=lambda payload: payload)
        self.assertEqual(self.sent_for(handle, self.request(1, LARGE)), ([], [json.loads(LARGE)]))

    def test_what_is_not_this_requests_payload_is_not_read_and_fails_alone(self) -> None:
        self.client.objects["payloads/e/other"] = b"1"
        records = [self.request(0, "1")]
        for number, url in enumerate(["s3://b/payloads/e/other", "s3://c/payloads/e/1", "file:///etc/passwd"], 1):
            records.append(self.request(number, "1", url=url))
        records.append(self.request(4, "[1]", sha256="0" * 64))
        records.append(self.request(5, "[1]", bytes=2))
        gone = self.request(6, "1")
        del self.client.objects["payloads/e/00000000-0000-0000-0000-000000000006"]
        with self.logged():
            again, answers = self.sent_for(handler(score=lambda payload: payload), *records, gone)
        self.assertEqual(again, [])
        answers.sort(key=str)
        self.assertEqual(answers[0], 1)
        self.assertEqual(self.client.reads, 4)
        for part, count in [("payload_ref is not", 3), ("SHA-256", 1), ("length", 1), ("has expired", 1)]:
            found = [text for text in answers[1:] if part in text]
            self.assertEqual(len(found), count, answers)
            self.assertTrue(all(text.startswith("failed: the payload was not read") for text in found))

    def test_an_expired_request_is_not_read(self) -> None:
        with stopped() as clock:
            expired = self.request(1, "1", within_ms=1_000)
            clock.passed = 2
            self.assertIn("expired", self.sent_for(handler(score=lambda payload: payload), expired)[1][0])
        self.assertEqual(self.client.reads, 0)

    def test_while_the_store_is_down_a_score_fails_that_somebody_waits_for_and_others_come_again(self) -> None:
        self.client.error = ServiceError("SlowDown")
        handle = handler(score=lambda payload: payload, scores_expired=True)
        with stopped() as clock, self.logged():
            live = self.request(1, "1", within_ms=10_000)
            late = self.request(2, "1", within_ms=1_000)
            clock.passed = 2
            again, answers = self.sent_for(handle, live, late)
        self.assertEqual(again, ["2"])
        self.assertEqual(answers, ["failed: the payload was not read: payload store is unavailable"])

    def test_so_many_bytes_are_held_at_a_time(self) -> None:
        sizes: list[int] = []

        def score_batch(batch: list[Any]) -> list[Any]:
            sizes.append(len(batch))
            return [1] * len(batch)

        large = '"' + "x" * (MAX_HELD_BYTES // 4 - 2) + '"'
        records = [self.request(number, large) for number in range(5)]
        records += event("e", "inline")["Records"]
        self.assertEqual(len(self.sent_for(handler(score_batch=score_batch), *records)[1]), 6)
        self.assertEqual(sizes, [1, 4, 1])

    def test_a_folder_is_read_as_a_bucket(self) -> None:
        with tempfile.TemporaryDirectory(prefix="my data") as root:
            self.store = Folder("file://" + root.replace(" ", "%20"))
            request = self.request(1, LARGE)
            for key, body in self.client.objects.items():
                path = Path(root) / key
                path.parent.mkdir(parents=True)
                path.write_bytes(body)
            handle = handler(score=lambda payload: payload)
            self.assertEqual(self.sent_for(handle, request), ([], [json.loads(LARGE)]))
            path.unlink()
            with self.logged():
                self.assertIn("has expired", self.sent_for(handle, request)[1][0])

    def test_the_environment_names_the_store(self) -> None:
        self.assertEqual(payloads.store().url, "")
        for variables, url in [
            ({"PAYLOAD_STORE": "file:///data"}, "file:///data"),
            ({"PAYLOAD_BUCKET": "b", "AWS_REGION": "eu-west-1"}, "s3://b"),
        ]:
            with mock.patch.dict("os.environ", variables):
                self.assertEqual(payloads.store().url, url)
        wrong = mock.patch.dict("os.environ", {"PAYLOAD_STORE": "http://x"})
        with wrong, self.assertRaisesRegex(ValueError, "PAYLOAD_STORE"):
            payloads.store()


if __name__ == "__main__":
    unittest.main()
