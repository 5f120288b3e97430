"""Payloads that are too large for a record: the same rules as in `shared/core/src/payloads.rs`.

Only the URL is read under which this function's own store has the payload of the very request, and only the bytes are used
that the reference describes.
"""

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from rendezvous_model import environment
from rendezvous_model.members import Unreadable
from rendezvous_model.request import Request
from rendezvous_model.score import type_name

log = logging.getLogger(__name__)

# The most bytes of stored payloads that are held at a time, and how many are read at a time.
MAX_HELD_BYTES = 20_000_000
_READS_AT_ONCE = 8


class Invalid(Exception):
    """A payload is not there, or is not what was stored. It never will be."""


class Unavailable(Exception):
    """The store does not answer. The same read may succeed later."""


class Store(Protocol):
    """Where stored payloads are."""

    @property
    def url(self) -> str:
        """What the URLs of its objects begin with, up to the `/` before the key."""

    def get(self, key: str, at_most: int) -> bytes | None:
        """The first bytes of an object, if there is one. Raises `Unavailable`."""


class Folder:
    """The payloads of the local system."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = Path(unquote(url.removeprefix("file://")))

    def get(self, key: str, at_most: int) -> bytes | None:
        try:
            with (self._root / key).open("rb") as file:
                return file.read(at_most)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(type_name(error)) from None


class Bucket:
    """A bucket of S3."""

    def __init__(self, name: str, client: Any) -> None:
        self.url = f"s3://{name}"
        self._name = name
        self._client = client

    def get(self, key: str, at_most: int) -> bytes | None:
        try:
            found = self._client.get_object(Bucket=self._name, Key=key, Range=f"bytes=0-{at_most - 1}")
            body: bytes = found["Body"].read()
            return body
        except Exception as error:
            # Botocore's errors of a service have a response.
            response = getattr(error, "response", None)
            code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else type_name(error)
            if code == "NoSuchKey":
                return None
            raise Unavailable(code) from None


class Nowhere:
    """No store: the function is deployed without one."""

    url = ""

    def get(self, key: str, at_most: int) -> bytes | None:
        return None


def store() -> Store:
    """The store that PAYLOAD_STORE, a URL, or PAYLOAD_BUCKET names."""
    url = environment.optional("PAYLOAD_STORE")
    if url is not None:
        if not url.startswith("file://"):
            raise ValueError(f"the environment variable PAYLOAD_STORE must be a file URL, not {url!r}")
        return Folder(url)
    name = environment.optional("PAYLOAD_BUCKET")
    if name is None:
        return Nowhere()
    # Here, because the import takes long.
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=0.5, read_timeout=2, retries={"total_max_attempts": 3, "mode": "standard"})
    return Bucket(name, boto3.client("s3", region_name=environment.optional("AWS_REGION"), config=config))


def fetch(store: Store, request: Request) -> Request:
    """The request with its payload. Raises `Invalid` or `Unavailable`."""
    reference = request.reference
    if reference is None:
        return request
    key = f"payloads/{request.endpoint}/{request.id}"
    if not store.url or reference.url != f"{store.url}/{key}":
        raise Invalid("payload_ref is not where this function's payload store has this request's payload")
    # One byte more than there may be, so that a longer object is noticed and not read whole.
    data = store.get(key, reference.bytes + 1)
    if data is None:
        raise Invalid("the stored payload is not there: it has expired or was deleted")
    if len(data) != reference.bytes:
        raise Invalid("the stored payload has another length than its reference")
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        raise Invalid("the stored payload has another SHA-256 than its reference")
    try:
        return request.with_payload(data.decode())
    except (UnicodeDecodeError, Unreadable):
        raise Invalid("the stored payload is not JSON") from None


def fetch_all(store: Store, requests: Sequence[Request]) -> list[Request | Invalid | Unavailable]:
    """The requests with their payloads, or why each has none."""

    def one(request: Request) -> Request | Invalid | Unavailable:
        try:
            return fetch(store, request)
        except (Invalid, Unavailable) as error:
            log.warning("the payload of %s was not read: %s", request.id, error)
            return error

    if all(request.reference is None for request in requests):
        return list(requests)
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        return list(pool.map(one, requests))
