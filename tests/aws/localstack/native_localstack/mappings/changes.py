"""Reads a table's change stream from DynamoDB Local."""

import http.client
import json
from typing import Any

from native_localstack.mappings.batches import Event
from native_localstack.serving import HOST

# What DynamoDB Local calls the account and the region of each stream.
PREFIX = "arn:aws:dynamodb:ddblocal:000000000000:"

HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDBStreams_20120810.GetRecords",
    # It wants a signature, and does not check it.
    "Authorization": "AWS4-HMAC-SHA256 Credential=local/20120810/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


class Trimmed(Exception):
    """The records at an iterator are no longer there."""


class Changes:
    """The change streams of tables that all credentials share (DYNAMODB_SHARE_DB). Used by one thread at a time."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)

    def close(self) -> None:
        """Ends the connection; the next call opens another."""
        self._connection.close()

    def read(self, iterator: str) -> tuple[list[Event], str | None]:
        """The changes at an iterator, as a function sees them, and the iterator after them, which a closed shard has no more."""
        status, got = self._call({"ShardIterator": PREFIX + iterator.split(":", 5)[5]})
        if status != http.HTTPStatus.OK:
            if "TrimmedDataAccessException" in got.get("__type", ""):
                raise Trimmed
            raise OSError(f"DynamoDB Local answers {status} {got}")
        return [_event(record) for record in got["Records"]], got.get("NextShardIterator")

    def _call(self, arguments: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            return self._once(arguments)
        except ConnectionError:
            # The server has closed a connection that was idle while a function worked.
            return self._once(arguments)

    def _once(self, arguments: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            self._connection.request("POST", "/", json.dumps(arguments), HEADERS)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read())
        except Exception:
            # What is left of the answer must not be taken for the next one.
            self.close()
            raise


def _event(record: dict[str, Any]) -> Event:
    return {name: record[name] for name in ("eventID", "eventName", "dynamodb")}
