"""Sending scores: portions, rejected entries, errors, and what is left when the time is up."""

import contextlib
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

from rendezvous_model import limits
from rendezvous_model.outbox import Outbox
from rendezvous_model.stream import LONGEST_PAUSE, MAX_BYTES, Record, Stream, portions
from rendezvous_model.testing import event
from support import Bench, echo, handler, stopped

Entry = dict[str, Any]


class Client:
    """Answers each call as told; by default it takes everything."""

    def __init__(self, reject: Callable[[int, Entry], str | None] | None = None) -> None:
        self.calls: list[list[Entry]] = []
        self.error: Exception | None = None
        self._reject = reject

    def put_records(self, *, StreamName: str, Records: list[Entry]) -> dict[str, Any]:
        self.calls.append(Records)
        if self.error is not None:
            raise self.error
        codes = [self._reject(len(self.calls), entry) if self._reject else None for entry in Records]
        entries = [{"ErrorCode": code, "ErrorMessage": "secret"} if code else {"SequenceNumber": "1"} for code in codes]
        return {"FailedRecordCount": sum(code is not None for code in codes), "Records": entries}


class ServiceError(Exception):
    """As botocore's ClientError."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__("secret")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


def records(count: int) -> list[Record]:
    return [Record("k", str(i).encode()) for i in range(count)]


def numbers(call: list[Entry]) -> list[int]:
    return [int(entry["Data"]) for entry in call]


class Portions(unittest.TestCase):
    def sizes(self, *sizes: int) -> list[int]:
        all = [Record("", b"x" * size) for size in sizes]
        return [len(portion) for portion in portions(all, range(len(all)))]

    def test_a_portion_has_at_most_500_records_and_5_mb(self) -> None:
        self.assertEqual(self.sizes(), [])
        self.assertEqual(self.sizes(*[1] * 1_001), [500, 500, 1])
        self.assertEqual(self.sizes(*[1_000_000] * 6), [5, 1])
        self.assertEqual(self.sizes(MAX_BYTES, 1, MAX_BYTES - 1, 1), [1, 2, 1])

    def test_keys_count_in_bytes(self) -> None:
        all = [Record("ж" * 100, b"x" * (MAX_BYTES - 200)), Record("", b"x")]
        self.assertEqual(list(portions(all, [0, 1])), [[0], [1]])


class Puts(Bench):
    def test_only_rejected_entries_are_put_again(self) -> None:
        def reject(call: int, entry: Entry) -> str | None:
            rejected = {1: [7], 2: [500, 999], 3: [500]}
            return "ProvisionedThroughputExceededException" if int(entry["Data"]) in rejected.get(call, []) else None

        client = Client(reject)
        with stopped() as clock:
            self.assertEqual(Stream("s", client).put(records(1_000), clock.monotonic() + 5), [])
        self.assertEqual([len(call) for call in client.calls[:2]], [500, 500])
        self.assertEqual([numbers(call) for call in client.calls[2:]], [[7, 500, 999], [500]])

    def test_entries_that_are_rejected_until_the_time_is_up_are_returned(self) -> None:
        client = Client(lambda _call, entry: "InternalFailure" if entry["Data"] in (b"3", b"5") else None)
        with stopped() as clock, self.logged() as log:
            end = clock.monotonic() + 5
            self.assertEqual(Stream("s", client).put(records(6), end), [3, 5])
            self.assertLessEqual(clock.monotonic(), end)
            self.assertGreater(clock.monotonic(), end - LONGEST_PAUSE, "it was tried to the end")
        self.assertEqual(numbers(client.calls[-1]), [3, 5])
        self.assertTrue(all(0 <= pause <= LONGEST_PAUSE for pause in clock.pauses))
        self.assertGreater(len(set(clock.pauses[7:])), 1, "the longest pauses are jittered, too")
        self.assertLess(clock.pauses[0], 0.010_001)
        self.assertIn("2 scores were not sent (InternalFailure)", log.output[-1])
        self.assertNotIn("secret", "\n".join(log.output))

    def test_an_error_of_the_connection_or_of_the_service_is_tried_again(self) -> None:
        for error in [
            OSError("secret"),
            ServiceError("InternalFailure", 500),
            ServiceError("ThrottlingException", 400),
        ]:
            client = Client()
            client.error = error
            with stopped() as clock, self.logged() as log:
                self.assertEqual(Stream("s", client).put(records(2), clock.monotonic() + 5), [0, 1])
            self.assertGreater(len(client.calls), 3)
            self.assertNotIn("secret", "\n".join(log.output))

    def test_what_is_refused_for_good_is_not_tried_again(self) -> None:
        client = Client()
        client.error = ServiceError("ResourceNotFoundException", 400)
        with stopped() as clock, self.logged() as log:
            self.assertEqual(len(Stream("s", client).put(records(600), clock.monotonic() + 5)), 600)
        self.assertEqual(len(client.calls), 2, "a call for each portion")
        self.assertIn("ResourceNotFoundException", log.output[-1])


class Unsent(Bench):
    def response(self, client: Client, count: int) -> Any:
        with stopped(), self.logged():
            handle = handler(echo).using(client)
            with contextlib.redirect_stdout(self.output):
                return handle(event("e", *range(count)), None)

    def test_the_lowest_sequence_number_that_was_not_sent_is_returned(self) -> None:
        def reject(_call: int, entry: Entry) -> str | None:
            return "InternalFailure" if entry["Data"].endswith((b'"score":2}', b'"score":4}')) else None

        self.assertEqual(self.response(Client(reject), 6), {"batchItemFailures": [{"itemIdentifier": "2"}]})
        self.assertEqual((self.metrics()["Unsent"], self.metrics()["Scored"]), (2, 6))

    def test_the_lowest_is_that_of_the_batch_and_not_that_of_the_text(self) -> None:
        def reject(_call: int, entry: Entry) -> str | None:
            return None if entry["Data"].endswith(tuple(b'"score":%d}' % i for i in range(9))) else "InternalFailure"

        self.assertEqual(self.response(Client(reject), 12), {"batchItemFailures": [{"itemIdentifier": "9"}]})

    def test_a_client_that_breaks_its_contract_loses_nothing(self) -> None:
        class Strange:
            def put_records(self, *, StreamName: str, Records: list[Entry]) -> dict[str, Any]:
                raise SystemExit

        with mock.patch.object(threading, "excepthook"), contextlib.redirect_stdout(self.output):
            response = handler(echo).using(Strange())(event("e", 1), None)
        self.assertEqual(response, {"batchItemFailures": [{"itemIdentifier": "0"}]})


class Outboxes(unittest.TestCase):
    def test_scores_are_sent_while_others_are_computed(self) -> None:
        sent = threading.Event()
        resume = threading.Event()

        class Slow(Client):
            def put_records(self, *, StreamName: str, Records: list[Entry]) -> dict[str, Any]:
                sent.set()
                resume.wait(10)
                return super().put_records(StreamName=StreamName, Records=Records)

        client = Slow()
        outbox = Outbox(Stream("s", client))
        all = records(4)
        outbox.add([(0, all[0])])
        self.assertTrue(sent.wait(10), "the first does not wait for the others")
        for i in (1, 2, 3):
            outbox.add([(i, all[i])])
        resume.set()
        self.assertEqual(outbox.close(), set())
        self.assertEqual(
            [numbers(call) for call in client.calls], [[0], [1, 2, 3]], "what came meanwhile goes together"
        )

    def test_a_call_that_hangs_does_not_hold_the_invocation(self) -> None:
        resume = threading.Event()

        class Hanging(Client):
            def put_records(self, *, StreamName: str, Records: list[Entry]) -> dict[str, Any]:
                resume.wait(10)
                return super().put_records(StreamName=StreamName, Records=Records)

        outbox = Outbox(Stream("s", Hanging()))
        with mock.patch("rendezvous_model.outbox.SEND_WITHIN", 0.02):
            outbox.add([(3, records(1)[0])])
            start = time.monotonic()
            self.assertEqual(outbox.close(), {3})
            self.assertLess(time.monotonic() - start, 2)
        resume.set()

    def test_nothing_to_send_needs_no_call(self) -> None:
        client = Client()
        self.assertEqual(Outbox(Stream("s", client)).close(), set())
        self.assertEqual(client.calls, [])

    def test_scores_are_sent_for_five_seconds(self) -> None:
        self.assertEqual(limits.SEND_WITHIN, 5)


if __name__ == "__main__":
    unittest.main()
