import base64
import json
import unittest
from typing import Any

from native_localstack.mappings.filters import select
from tests.events import change, record, records


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """A pattern of one field with one value."""
    (name, values), *_ = pattern.items()
    return bool(event.get(name) == values)


class Filters(unittest.TestCase):
    def test_without_a_pattern_all_pass(self) -> None:
        self.assertEqual(len(select(records(1, 2), [], matches)), 2)

    def test_data_is_matched_as_json_and_handed_on_byte_for_byte(self) -> None:
        text = '{ "e":  "a" }'
        events = [record(1, data=text), record(2, data=json.dumps({"e": "b"}))]
        selected = select(events, [{"data": {"e": "a"}}], matches)
        self.assertEqual(selected, [events[0]])
        self.assertEqual(base64.b64decode(selected[0]["kinesis"]["data"]).decode(), text)
        self.assertNotIn("data", selected[0])

    def test_what_is_no_json_does_not_match_and_holds_up_nothing(self) -> None:
        bad = record(1)
        bad["kinesis"]["data"] = base64.b64encode(b"\xffno JSON").decode()
        events = [bad, record(2, data="no JSON"), record(3, data='{"e":"a"}')]
        self.assertEqual(select(events, [{"data": {"e": "a"}}], matches), events[2:])

    def test_one_of_several_patterns_is_enough(self) -> None:
        events = [record(1, data='{"e":"a"}'), record(2, data='{"e":"b"}'), record(3, data='{"e":"c"}')]
        patterns = [{"data": {"e": "a"}}, {"data": {"e": "c"}}]
        self.assertEqual(select(events, patterns, matches), [events[0], events[2]])

    def test_changes_of_a_table_are_matched_as_they_are(self) -> None:
        events = [change(1, "i") | {"eventName": "INSERT"}, change(2, "i") | {"eventName": "MODIFY"}]
        self.assertEqual(select(events, [{"eventName": "MODIFY"}], matches), events[1:])


if __name__ == "__main__":
    unittest.main()
