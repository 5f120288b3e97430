"""The golden messages of infra/contract, as `tests/contract.rs` has them for the Rust types."""

import json
import unittest
from typing import Any, get_args

from rendezvous_model import names, request, score
from rendezvous_model.members import Unreadable
from support import ROOT, golden


def schema(name: str) -> Any:
    return json.loads((ROOT / f"infra/contract/{name}.schema.json").read_text(encoding="utf-8"))


def changed(message: Any, path: list[str], value: Any) -> bytes:
    copy = json.loads(json.dumps(message))
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(copy).encode()


class Requests(unittest.TestCase):
    def test_the_golden_requests_are_read_to_the_byte(self) -> None:
        for example in ["request", "request-skip"]:
            text = golden(example)
            read = request.parse(text.encode())
            written = f'{{"v":1,"envelope":{read.raw_envelope},"payload":{read.raw_payload}}}'
            self.assertEqual(written, text.strip())
            message = json.loads(text)
            self.assertEqual(read.payload, message["payload"])
            self.assertEqual(read.fresh_payload(), message["payload"])
            envelope = message["envelope"]
            self.assertEqual(read.skip, envelope.get("skip", []))
            self.assertEqual((read.endpoint, read.key), (envelope["endpoint"], envelope["key"]))
            self.assertEqual(read.deadline_us, envelope["deadline_us"])

    def test_what_the_schema_and_the_rust_types_refuse_is_refused(self) -> None:
        message = json.loads(golden("request"))
        wrong: list[tuple[str, list[Any]]] = [
            ("v", [2, 0, "1", 1.0, True, None]),
            ("envelope", [None, [], "x", 7]),
            ("envelope/id", [7, "x", "019aa98c", "019aa98c-66fb-7a10-9b5c-3f1f6f1c2a77\n", None]),
            ("envelope/endpoint", ["Flight Delay", "", "a" * 65, "-a", "a-", "a\n", None]),
            ("envelope/config", [-1, 1.5, 2**64, "7", True, None]),
            ("envelope/arm", ["", "Main", None]),
            ("envelope/key", ["k" * 257, "", "a\nb", "\ud800", 7, None]),
            ("envelope/received_us", ["now", 1.5, 2**63, None]),
            ("envelope/deadline_us", ["now", 1763794344323456.0, None]),
            ("envelope/traceparent", [7, []]),
            ("envelope/skip", ["gbt@1", [7], {}]),
        ]
        for path, values in wrong:
            for value in values:
                with self.subTest(path=path, value=value), self.assertRaises(Unreadable):
                    request.parse(changed(message, path.split("/"), value))

    def test_the_golden_reference_is_read_and_a_wrong_one_is_refused(self) -> None:
        message = json.loads(golden("request-ref"))
        read = request.parse(golden("request-ref").encode())
        assert read.reference is not None
        found = {"url": read.reference.url, "sha256": read.reference.sha256, "bytes": read.reference.bytes}
        self.assertEqual(found, message["payload_ref"])
        self.assertEqual(read.id, message["envelope"]["id"])
        most = schema("request")["properties"]["payload_ref"]["properties"]["bytes"]["maximum"]
        self.assertEqual(request.MAX_PAYLOAD_BYTES, most)
        for path, wrong in [
            ("payload_ref", [None, [], "x"]),
            ("payload_ref/url", [None, 7]),
            ("payload_ref/sha256", [None, "AB" * 32, "ab" * 31]),
            ("payload_ref/bytes", [None, 0, True, 1.5, most + 1]),
            ("payload", [1, None]),
        ]:
            for value in wrong:
                with self.subTest(path=path, value=value), self.assertRaises(Unreadable):
                    request.parse(changed(message, path.split("/"), value))

    def test_what_must_be_there_must_be_there(self) -> None:
        message = json.loads(golden("request"))
        required = schema("request")
        for name in required["required"]:
            with self.subTest(name=name), self.assertRaises(Unreadable):
                request.parse(json.dumps({k: v for k, v in message.items() if k != name}).encode())
        for name in required["$defs"]["envelope"]["required"]:
            envelope = {k: v for k, v in message["envelope"].items() if k != name}
            with self.subTest(name=name), self.assertRaises(Unreadable):
                request.parse(json.dumps(message | {"envelope": envelope}).encode())

    def test_what_the_contract_allows_is_read(self) -> None:
        message = json.loads(golden("request"))
        for path, value in [
            ("envelope/key", "ключ 7"),
            ("envelope/key", "к" * 256),
            ("envelope/unknown", {"deep": [1]}),
            ("envelope/skip", []),
            ("unknown", None),
            ("payload", None),
            ("payload", "text"),
        ]:
            with self.subTest(path=path, value=value):
                request.parse(changed(message, path.split("/"), value))

    def test_a_deadline_that_no_request_can_have_is_refused(self) -> None:
        text = golden("request")
        for deadline in ["1763794344123456", "1763795244123457", "0"]:
            with self.assertRaisesRegex(Unreadable, "deadline_us"):
                request.parse(text.replace("1763794344323456", deadline).encode())
        for deadline in ["1763794344123457", "1763795244123456"]:
            request.parse(text.replace("1763794344323456", deadline).encode())

    def test_what_is_not_utf_8_or_not_json_is_refused(self) -> None:
        for data in [
            b"",
            b"\xff",
            b"\xef\xbb\xbf{}",
            golden("request").encode("utf-16"),
            golden("request").encode()[:-3],
        ]:
            self.assertRaises(Unreadable, request.parse, data)


class Scores(unittest.TestCase):
    def test_the_golden_scores_are_written_to_the_byte(self) -> None:
        envelope = request.parse(golden("request").encode()).raw_envelope
        for example in ["score", "failure", "score-artifact"]:
            text = golden(example)
            message = json.loads(text)
            result: score.Result
            if "score" in message:
                result = score.checked(message["score"])
            else:
                result = score.checked(score.Invalid(message["failure"]["message"]))
            times = (message["started_us"], message["finished_us"])
            written = score.write(envelope, message["model"], *times, result, message.get("artifact"))
            self.assertEqual(written.decode(), text.strip())

    def test_the_artifact_is_that_of_the_schema(self) -> None:
        pattern = schema("score")["properties"]["artifact"]["pattern"]
        self.assertEqual(pattern, f"^{names._ARTIFACT.pattern.removesuffix(chr(92) + 'Z')}$")

    def test_the_kinds_of_a_failure_are_those_of_the_schema(self) -> None:
        kinds = schema("score")["properties"]["failure"]["properties"]["kind"]["enum"]
        self.assertEqual(sorted(get_args(score.Kind)), sorted(kinds))

    def test_the_bounds_are_those_of_the_schema(self) -> None:
        properties = schema("score")["properties"]
        self.assertIn(f"at most {score.MAX_SCORE_BYTES // 1024} KiB", properties["score"]["description"])
        message = properties["failure"]["properties"]["message"]["description"]
        self.assertIn(f"{score.MAX_MESSAGE_CHARS} characters", message)


if __name__ == "__main__":
    unittest.main()
