"""The span finder agrees with the standard json module, and its spans are the values' own bytes."""

import json
import random
import unittest
from typing import Any

from rendezvous_model.members import Unreadable, members

SPACES = ["", "", "", " ", "\n", "\t\r ", "  "]
TEXTS = [
    '"a"',
    '"\\"}{,:\\\\"',
    '"\\u00e4\\ud83d\\ude00"',
    '"ключ 😀"',
    '"\\/\\b\\n"',
    '""',
    '"\\ud800"',
    '"envelope"',
]
NAMES = ['"v"', '"envelope"', '"payload"', '"\\u0076"', '"x\\"y"', '""', '"ж"']
PLAIN = ["0", "-1", "12.50", "1e5", "1E-7", "123456789012345678901234567890", "true", "false", "null", *TEXTS]


def space(draw: random.Random) -> str:
    return draw.choice(SPACES)


def value(draw: random.Random, depth: int) -> str:
    kind = draw.random()
    if depth == 0 or kind < 0.5:
        return draw.choice(PLAIN)
    if kind < 0.75:
        return array(draw, depth - 1)
    return record(draw, depth - 1)


def array(draw: random.Random, depth: int) -> str:
    items = [space(draw) + value(draw, depth) + space(draw) for _ in range(draw.randrange(4))]
    return "[" + (",".join(items) or space(draw)) + "]"


def record(draw: random.Random, depth: int) -> str:
    """An object. It often has a name twice."""
    items = [
        space(draw) + draw.choice(NAMES) + space(draw) + ":" + space(draw) + value(draw, depth) + space(draw)
        for _ in range(draw.randrange(6))
    ]
    return "{" + (",".join(items) or space(draw)) + "}"


def damaged(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text) + 1)
    return (
        text[:at]
        + draw.choice(["", ",", "}", '"', ":", "{", "\\", "x", "\x00", "\xa0"])
        + text[at + draw.randrange(2) :]
    )


def refuse(constant: str) -> Any:
    raise ValueError(constant)


def read(text: str) -> Any:
    """What the json module makes of it, or None where it is no object."""
    try:
        found = json.loads(text, parse_constant=refuse)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Members(unittest.TestCase):
    def test_values_and_spans_are_those_of_the_json_module(self) -> None:
        draw = random.Random(1)
        for _ in range(3_000):
            text = space(draw) + record(draw, 4) + space(draw)
            with self.subTest(text=text):
                found = members(text)
                self.assertEqual({name: member.value for name, member in found.items()}, json.loads(text))
                for member in found.values():
                    self.assertTrue(member.exact)
                    span = text[member.start : member.end]
                    self.assertEqual(json.loads(span), member.value)
                    self.assertEqual(span, span.strip(" \t\r\n"), "white space around it is not part of it")

    def test_what_the_json_module_refuses_is_refused(self) -> None:
        draw = random.Random(2)
        refused = 0
        for _ in range(5_000):
            text = damaged(draw, record(draw, 3))
            with self.subTest(text=text):
                expected = read(text)
                if expected is None:
                    refused += 1
                    self.assertRaises(Unreadable, members, text)
                else:
                    self.assertEqual({name: m.value for name, m in members(text).items()}, expected)
        self.assertGreater(refused, 1_000, "most of the damaged texts are no JSON")

    def test_of_two_members_with_one_name_the_last_counts(self) -> None:
        text = '{"a": {"b":1}, "a" :\n{"b": 2} ,"\\u0061":[3]}'
        found = members(text)
        self.assertEqual(list(found), ["a"])
        self.assertEqual(text[found["a"].start : found["a"].end], "[3]")

    def test_odd_values_keep_every_byte(self) -> None:
        for odd in [
            '{"z":1 ,  "a":"\\u00e4ä\\/" }',
            "123456789012345678901234567890.10e+400",
            '{"a":1,"a":2}',
            '"\\"[[["',
        ]:
            text = f'{{"x" : {odd}\t}}'
            found = members(text)["x"]
            self.assertEqual(text[found.start : found.end], odd)

    def test_a_number_that_python_does_not_read_does_not_hide_the_others(self) -> None:
        digits = "9" * 5_000
        text = f'{{"payload":[{digits}, 7, "]"],"v":1}}'
        found = members(text)
        self.assertEqual(found["v"].value, 1)
        payload = found["payload"]
        self.assertEqual(text[payload.start : payload.end], f'[{digits}, 7, "]"]')
        self.assertFalse(payload.exact)
        self.assertEqual(payload.value[1:], [7, "]"])

    def test_nothing_of_the_text_is_in_the_reason(self) -> None:
        for text in [
            "",
            "[]",
            "secret",
            '{"secret": secret}',
            '{"a":NaN}',
            '{"a":1} secret',
            "[" * 100_000,
            '{"a":' * 100_000,
        ]:
            with self.assertRaises(Unreadable) as raised:
                members(text)
            self.assertNotIn("secret", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
