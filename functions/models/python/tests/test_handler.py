"""What the handler does with the records of a batch."""

import json
import signal
import threading
import time
import unittest
from typing import Any
from unittest import mock

from rendezvous_model import Handler, alarm, limits, model
from rendezvous_model.testing import event, record
from support import Bench, Clock, answer, echo, golden, handler, one, stopped


def flights(score: Any = echo, **options: Any) -> Handler:
    """A model of the endpoint of the golden requests, whose deadline is long past."""
    return model("gbt@1", endpoints=["flight-delay"], score=score, scores_expired=True, **options)


class Requests(Bench):
    def test_the_envelope_goes_back_byte_for_byte_and_its_key_is_the_partition_key(self) -> None:
        envelope = json.dumps(json.loads(golden("request"))["envelope"] | {"key": "ключ", "new": {"a": 1.0}}, indent=1)
        odd = envelope.replace('"a": 1.0', '"a" : 1.00e+0 , "b":"\\u00e4\\/ä", "a":2')
        text = f' {{"payload" : [1, 2] ,"extra":0, "envelope" :\t{odd}\n, "v":1}}\n'
        self.assertEqual(self.handle(flights(), one(text)), [])
        (sent,) = self.scores.records
        self.assertEqual(sent["PartitionKey"], "ключ")
        self.assertTrue(sent["Data"].decode().startswith(f'{{"v":1,"envelope":{odd},"model":"gbt@1",'))
        self.assertEqual(self.scores.messages()[0]["score"], [1, 2])

    def test_requests_of_other_endpoints_are_left_out(self) -> None:
        batch = {"Records": event("e", 1)["Records"] + event("other", 2)["Records"]}
        self.assertEqual(self.handle(handler(echo), batch), [])
        self.assertEqual([answer(message) for message in self.scores.messages()], [1])
        self.assertEqual(self.metrics()["RequestsRead"], 1)

    def test_a_model_that_is_listed_in_skip_sends_nothing(self) -> None:
        for id, expected in [("big@3", 0), ("big@4", 1)]:
            self.scores.records.clear()
            handle = model(id, endpoints=["flight-delay"], score=echo, scores_expired=True)
            self.assertEqual(self.handle(handle, one(golden("request-skip"))), [])
            self.assertEqual((len(self.scores.records), self.metrics()["RequestsRead"]), (expected, expected))

    def test_what_cannot_be_read_is_logged_without_quoting_it_and_skipped(self) -> None:
        bad = [
            golden("request").replace('"v":1', '"v":2').replace("carrier", "secret"),
            '{"secret": ',
            '"secret"',
            golden("request").replace('"deadline_us"', '"secret"'),
        ]
        records = [record(text.encode(), str(i), key="secret") for i, text in enumerate(bad)]
        good = record(golden("request").encode(), "9")
        strange: list[Any] = [None, {}, {"kinesis": {"sequenceNumber": 7}}, {"eventID": 7, "kinesis": {}}]
        # Decoders that ignore what is not base64 would read it.
        no_base64 = record(golden("request").encode(), "10")
        no_base64["kinesis"]["data"] = "!" + no_base64["kinesis"]["data"]
        no_time = record(golden("request").encode(), "11")
        no_time["kinesis"]["approximateArrivalTimestamp"] = -1
        with self.logged() as log:
            self.assertEqual(self.handle(flights(), {"Records": [*records, *strange, no_base64, good, no_time]}), [])
        self.assertEqual(len(self.scores.records), 1)
        self.assertEqual(len(log.output), 10)
        self.assertNotIn("secret", "\n".join(log.output))
        self.assertIn('its "v" is not 1; record shardId-000000000000:0', log.output[0])
        self.assertEqual((self.metrics()["RequestsUnreadable"], self.metrics()["RequestsRead"]), (10, 1))

    def test_an_event_that_is_no_batch_fails_the_invocation(self) -> None:
        wrong: list[Any] = [None, [], {}, {"Records": None}, "secret"]
        for no_batch in wrong:
            with self.assertRaisesRegex(ValueError, "has no list Records"):
                self.handle(handler(echo), no_batch)

    def test_the_lag_is_that_of_the_oldest_record(self) -> None:
        batch = event("e", 1, 2, 3)
        for seconds, old in zip([10, 30, 20], batch["Records"], strict=True):
            old["kinesis"]["approximateArrivalTimestamp"] -= seconds
        self.handle(handler(echo), batch)
        self.assertAlmostEqual(self.metrics()["Lag"], 30_000, delta=5_000)

    def test_an_empty_batch_is_no_error(self) -> None:
        self.assertEqual(self.handle(handler(echo), {"Records": []}), [])
        self.assertEqual(self.metrics()["Lag"], 0)


class Deadlines(Bench):
    def test_a_request_whose_deadline_has_passed_is_expired_unless_the_model_wants_it(self) -> None:
        expired = "expired: the request's deadline had passed"
        for scores_expired, expected in [(False, expired), (True, 1)]:
            with stopped() as clock:
                self.scores.records.clear()
                batch = event("e", 1, within_ms=1_000)
                clock.passed = 1.0
                self.handle(handler(echo, scores_expired=scores_expired), batch)
            self.assertEqual([answer(message) for message in self.scores.messages()], [expected])
            self.assertEqual(self.metrics()["Expired"], int(not scores_expired))

    def test_a_microsecond_before_it_is_scored(self) -> None:
        with stopped() as clock:
            batch = event("e", 1, within_ms=1_000)
            clock.passed = 0.999_999
            self.handle(handler(echo), batch)
        self.assertEqual(self.scores.messages()[0]["score"], 1)

    def test_a_deadline_that_passes_while_others_are_scored_counts(self) -> None:
        with stopped() as clock:

            def score(payload: Any) -> Any:
                clock.passed += 0.4
                return payload

            self.handle(handler(score), event("e", 1, 2, 3, 4, within_ms=1_000))
        answers = [answer(message) for message in self.scores.messages()]
        self.assertEqual(answers, [1, 2, 3, "expired: the request's deadline had passed"])

    def test_times_are_whole_microseconds_of_the_call(self) -> None:
        with stopped() as clock:

            def score(payload: Any) -> Any:
                clock.passed += 0.25
                return payload

            self.handle(handler(score), event("e", 1))
            (message,) = self.scores.messages()
        self.assertEqual(message["started_us"], clock.start_us)
        self.assertEqual(message["finished_us"], clock.start_us + 250_000)
        self.assertIsInstance(message["finished_us"], int)


class TimeOuts(Bench):
    """These wait for the real timer of the process, some hundredths of a second."""

    def test_a_call_that_takes_too_long_is_interrupted(self) -> None:
        def score(payload: Any) -> Any:
            if payload == "hang":
                while True:
                    time.sleep(1)
            return payload

        start = time.monotonic()
        sent = self.sent(handler(score, timeout_ms=20), 1, "hang", 2)
        self.assertEqual(sent, [1, "timed_out: no score within 20 ms", 2])
        self.assertLess(time.monotonic() - start, 5)

    def test_a_batch_that_takes_too_long_is_not_repeated(self) -> None:
        calls: list[int] = []

        def score_batch(payloads: list[Any]) -> list[Any]:
            calls.append(len(payloads))
            time.sleep(60)
            return payloads

        sent = self.sent(handler(score_batch=score_batch, timeout_ms=20), 1, 2)
        self.assertEqual(sent, ["timed_out: no score within 20 ms"] * 2)
        self.assertEqual(calls, [2])

    def test_a_model_that_catches_exceptions_is_interrupted_all_the_same(self) -> None:
        caught: list[Exception] = []

        def score(payload: Any) -> Any:
            try:
                time.sleep(60)
            except Exception as error:
                caught.append(error)

        self.assertEqual(self.sent(handler(score, timeout_ms=20), 1), ["timed_out: no score within 20 ms"])
        self.assertEqual(caught, [])

    def test_a_model_that_catches_the_interruption_is_late_all_the_same(self) -> None:
        def score(payload: Any) -> Any:
            try:
                time.sleep(60)
            except BaseException:
                return "caught"

        self.assertEqual(self.sent(handler(score, timeout_ms=20), 1), ["timed_out: no score within 20 ms"])

    def test_outside_the_main_thread_a_call_ends_by_itself_and_is_late(self) -> None:
        sent: list[Any] = []

        def score(payload: Any) -> Any:
            time.sleep(payload)
            return payload

        handle = handler(score, timeout_ms=40)
        thread = threading.Thread(target=lambda: sent.extend(self.sent(handle, 0, 0.06)))
        thread.start()
        thread.join()
        self.assertEqual(sent, [0, "timed_out: no score within 40 ms"])

    def test_the_timer_and_the_handler_of_the_signal_are_as_before(self) -> None:
        def before(_signal: int, _frame: Any) -> None:
            pass

        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, before))
        for score in [echo, lambda _payload: time.sleep(60)]:
            self.sent(handler(score, timeout_ms=20), 1)
            self.assertEqual(signal.getitimer(signal.ITIMER_REAL), (0.0, 0.0))
            self.assertIs(signal.getsignal(signal.SIGALRM), before)

    def test_an_alarm_at_any_moment_ends_the_call_and_nothing_else(self) -> None:
        late = 0
        for i in range(300):
            try:
                alarm.call(1e-6 * (1 + i % 60), lambda: sum(range(200)))
            except alarm.TimedOut:
                late += 1
        self.assertGreater(late, 0)


class Limits(Bench):
    """Time here is the test's."""

    calls = 0

    def hanging(self, clock: Clock, timeout_ms: int) -> list[str]:
        """The failures of a model that takes its whole time-out, for three requests."""

        def score(payload: Any) -> Any:
            self.calls += 1
            clock.passed += timeout_ms / 1_000
            raise alarm.TimedOut

        return self.sent(handler(score, timeout_ms=timeout_ms, scores_expired=True), 1, 2, 3)

    def test_all_calls_end_before_the_function_does(self) -> None:
        with stopped() as clock, mock.patch.dict("os.environ", FUNCTION_TIMEOUT_SECONDS="30"):
            sent = self.hanging(clock, 20_000)
        self.assertEqual(self.calls, 2, "no call begins when no time is left")
        rest = ", which were left of the function's time-out"
        self.assertEqual(
            sent,
            [
                "timed_out: no score within 20000 ms",
                f"timed_out: no score within 4000 ms{rest}",
                f"timed_out: no score within 0 ms{rest}",
            ],
        )
        self.assertEqual(self.metrics()["TimedOut"], 3)

    def test_no_call_begins_without_time_where_none_is_interrupted_either(self) -> None:
        with stopped() as clock:
            thread = threading.Thread(target=self.hanging, args=(clock, 24_000))
            thread.start()
            thread.join()
        self.assertEqual((self.calls, self.metrics()["TimedOut"]), (1, 3))

    def test_calls_after_an_exception_count_too(self) -> None:
        with stopped() as clock:

            def score_batch(payloads: list[Any]) -> list[Any]:
                if len(payloads) == 1:
                    raise alarm.TimedOut
                clock.passed += 20
                raise ValueError

            handle = handler(score_batch=score_batch, timeout_ms=24_000, scores_expired=True)
            with self.logged():
                sent = self.sent(handle, 1, 2)
        self.assertEqual(sent, ["timed_out: no score within 4000 ms, which were left of the function's time-out"] * 2)

    def test_the_limits_are_those_of_the_rust_runtime(self) -> None:
        self.assertEqual((limits.SEND_WITHIN, limits.RESERVE, limits.DEFAULT_FUNCTION_TIMEOUT), (5, 1, 30))


if __name__ == "__main__":
    unittest.main()
