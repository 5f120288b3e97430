"""What a model may return, and what becomes of the rest."""

import base64
import enum
import json
import unittest
from decimal import Decimal
from typing import Any

from rendezvous_model import Invalid
from rendezvous_model.testing import event, record
from support import Bench, handler


class Weekday(enum.IntEnum):
    MONDAY = 0


class Float32(float):
    """As numpy's float64, a float by inheritance."""

    def __repr__(self) -> str:
        return "Float32(0.5)"


class Broken(dict[str, Any]):
    def items(self) -> Any:
        raise OSError("secret")


def circular() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> Any:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def returns(value: Any) -> Any:
    return handler(lambda _payload: value)


class Returned(Bench):
    def test_any_json_value_is_a_score(self) -> None:
        for value in [0, False, "", [], {}, 0.25, {"p": [1, None, "ä😀"]}, -(2**70)]:
            self.assertEqual(self.sent(returns(value), 1), [value])
        self.assertEqual(self.sent(returns((1, 2)), 1), [[1, 2]])
        self.assertEqual(self.sent(returns({"p": Float32(0.5), "d": Weekday.MONDAY}), 1), [{"p": 0.5, "d": 0}])

    def test_a_score_is_written_as_serde_json_writes_it(self) -> None:
        self.sent(returns({"a": [1, 2.0], "ä": "\n\u2028"}), 1)
        self.assertIn('"score":{"a":[1,2.0],"ä":"\\n\u2028"}}', self.scores.records[0]["Data"].decode())

    def test_what_is_no_json_is_invalid_and_named_by_its_type_only(self) -> None:
        for value, words in [
            (None, "null is no score"),
            (float("nan"), "NaN"),
            ({"p": [float("inf")]}, "infinity"),
            ({"p": -float("inf")}, "infinity"),
            (Decimal("0.5"), "decimal.Decimal"),
            ({1, 2}, "type set"),
            (b"secret", "type bytes"),
            ({(1, 2): "secret"}, "TypeError"),
            (circular(), "itself"),
            (deep(), "nested"),
            ("\ud800", "not Unicode"),
            (10**5_000, "very long number"),
            (Broken(secret=1), "OSError"),
        ]:
            with self.subTest(words=words):
                (failure,) = self.sent(returns(value), 1)
                self.assertTrue(failure.startswith("invalid: "), failure)
                self.assertIn(words, failure)
                self.assertNotIn("secret", failure)

    def test_a_score_is_at_most_16_kib(self) -> None:
        largest = "s" * (16 * 1024 - 2)
        self.assertEqual(self.sent(returns(largest), 1), [largest])
        too_large = "invalid: a score of 16385 bytes; at most 16384 are allowed"
        self.assertEqual(self.sent(returns(largest + "s"), 1), [too_large])
        # Bytes, not characters.
        self.assertEqual(len(self.sent(returns("ä" * 8_191), 1)[0]), 8_191)
        self.assertIn("16386 bytes", self.sent(returns("ä" * 8_192), 1)[0])

    def test_a_model_names_what_is_invalid(self) -> None:
        def score(payload: Any) -> Any:
            raise Invalid("/hour is missing")

        self.assertEqual(self.sent(handler(score), 1), ["invalid: /hour is missing"])

    def test_a_message_is_cut_to_500_characters(self) -> None:
        def score(payload: Any) -> Any:
            raise Invalid("ä" * payload)

        self.assertEqual(self.sent(handler(score), 500, 501), ["invalid: " + "ä" * 500] * 2)

        def odd(payload: Any) -> Any:
            raise Invalid("\ud800")

        self.assertEqual(self.sent(handler(odd), 1), ["invalid: ?"])

    def test_a_long_name_of_an_exception_is_cut_too(self) -> None:
        kind = type("E" * 600, (Exception,), {})

        def score(payload: Any) -> Any:
            raise kind

        with self.logged():
            (failure,) = self.sent(handler(score), 1)
        self.assertEqual(len(failure), len("failed: ") + 500)


class Batches(Bench):
    def test_each_payload_gets_its_own_score(self) -> None:
        calls: list[Any] = []

        def score_batch(payloads: list[Any]) -> list[Any]:
            calls.append(len(payloads))
            return [payload * 2 for payload in payloads]

        handle = handler(score_batch=score_batch, largest_batch=3)
        self.assertEqual(self.sent(handle, *range(7)), [0, 2, 4, 6, 8, 10, 12])
        self.assertEqual(calls, [3, 3, 1])

    def test_a_batch_has_at_most_100_payloads_unless_given(self) -> None:
        calls: list[int] = []

        def score_batch(payloads: list[Any]) -> list[Any]:
            calls.append(len(payloads))
            return payloads

        self.sent(handler(score_batch=score_batch), *range(101))
        self.assertEqual(calls, [100, 1])

    def test_a_payload_on_which_the_model_raises_fails_alone(self) -> None:
        def score_batch(payloads: list[Any]) -> list[Any]:
            if "bad" in payloads:
                raise ValueError("secret")
            return list(payloads)

        with self.logged():
            sent = self.sent(handler(score_batch=score_batch), 1, "bad", 2)
        self.assertEqual(sent, [1, "failed: the model raised ValueError", 2])

    def test_a_repeated_call_gets_the_payload_as_it_came(self) -> None:
        def score_batch(payloads: list[Any]) -> list[Any]:
            for payload in payloads:
                payload["seen"] = payload.get("seen", 0) + 1
            if len(payloads) > 1:
                raise ValueError
            return payloads

        with self.logged():
            self.assertEqual(self.sent(handler(score_batch=score_batch), {}, {}), [{"seen": 1}, {"seen": 1}])

    def test_one_score_of_a_batch_may_be_invalid(self) -> None:
        def score_batch(payloads: list[Any]) -> list[Any]:
            return [Invalid("/ is negative") if payload < 0 else payload for payload in payloads]

        self.assertEqual(self.sent(handler(score_batch=score_batch), 1, -1, 2), [1, "invalid: / is negative", 2])

    def test_a_payload_for_which_the_model_returns_no_result_fails_alone(self) -> None:
        def score_batch(payloads: list[Any]) -> list[Any]:
            return [payload for payload in payloads if payload != "lose"]

        sent = self.sent(handler(score_batch=score_batch), 1, "lose", 2)
        self.assertEqual(sent, [1, "failed: the model returned 0 results for 1 payloads", 2])

    def test_what_is_no_list_is_a_failure(self) -> None:
        for returned, name in [
            (None, "NoneType"),
            ("ab", "str"),
            ({1: 2, 3: 4}, "dict"),
            (iter([1, 2]), "list_iterator"),
        ]:
            handle = handler(score_batch=lambda _payloads, returned=returned: returned)
            self.assertEqual(self.sent(handle, 1, 2), [f"failed: the model returned {name}, not a list"] * 2)

    def test_a_number_that_python_does_not_read_is_invalid_and_the_model_is_not_called(self) -> None:
        calls: list[Any] = []

        def score_batch(payloads: list[Any]) -> list[Any]:
            calls.append(payloads)
            return payloads

        batch = event("e", 1, 2, 3)
        data = base64.b64decode(batch["Records"][1]["kinesis"]["data"])
        batch["Records"][1] = record(data.replace(b'"payload":2', b'"payload":' + b"9" * 5_000), "1")
        self.assertEqual(self.handle(handler(score_batch=score_batch), batch), [])
        self.assertEqual(calls, [[1, 3]])
        failures = [message.get("failure") for message in self.scores.messages()]
        self.assertEqual([failure and failure["kind"] for failure in failures], [None, "invalid", None])


class Raised(Bench):
    """Neither a failure's message nor the log quotes what was raised."""

    def test_whatever_a_model_raises_is_a_failure(self) -> None:
        class Mine(Exception):
            pass

        for error, name in [
            (ValueError("secret"), "ValueError"),
            (SystemExit("secret"), "SystemExit"),
            (Mine("secret"), "test_scores.Raised.test_whatever_a_model_raises_is_a_failure.<locals>.Mine"),
            (GeneratorExit(), "GeneratorExit"),
            (MemoryError(), "MemoryError"),
            (BaseException("secret"), "BaseException"),
            (json.JSONDecodeError("secret", "secret", 0), "json.decoder.JSONDecodeError"),
        ]:

            def score(payload: Any, error: BaseException = error) -> Any:
                raise error

            with self.subTest(name=name), self.logged() as log:
                name = name.replace("test_scores", __name__)
                self.assertEqual(self.sent(handler(score), "secret"), [f"failed: the model raised {name}"])
                text = "\n".join(log.output)
                self.assertIn(f"the model raised {name} at {__file__}", text)
                self.assertNotIn("secret", text)

    def test_the_log_says_where_innermost_first(self) -> None:
        def inner(payload: Any) -> Any:
            return payload["missing"]

        def score(payload: Any) -> Any:
            return inner(payload)

        with self.logged() as log:
            self.assertEqual(self.sent(handler(score), {"secret": "secret"}), ["failed: the model raised KeyError"])
        (line,) = log.output
        self.assertRegex(line, r"test_scores\.py:\d+ \S*inner < \S*test_scores\.py:\d+ \S*score$")

    def test_endless_recursion_is_a_failure(self) -> None:
        def score(payload: Any) -> Any:
            return score(payload)

        with self.logged() as log:
            self.assertEqual(self.sent(handler(score), 1), ["failed: the model raised RecursionError"])
        self.assertLess(len(log.output[0]), 10_000, "not a thousand frames")

    def test_who_ends_the_process_by_hand_ends_it(self) -> None:
        def score(payload: Any) -> Any:
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.sent(handler(score), 1)


if __name__ == "__main__":
    unittest.main()
