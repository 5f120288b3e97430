"""Names from outside: the same rules as in `shared/core/src/names.rs`."""

import re

# \Z and not $, which would also match before a line feed at the end.
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")
_MODEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}@[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")
_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_ARTIFACT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+@-]{0,127}\Z")
# Without control characters, and without lone surrogates, which are no text that can be sent.
_KEY = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}\Z")


def is_slug(text: object) -> bool:
    """Whether this is the name of an endpoint or of an arm."""
    return isinstance(text, str) and _SLUG.match(text) is not None


def is_model(text: object) -> bool:
    """Whether this is a model's id, `name@version`."""
    return isinstance(text, str) and _MODEL.match(text) is not None


def is_artifact(text: object) -> bool:
    """Whether this names an artefact, e.g. `sha256:` and a hash."""
    return isinstance(text, str) and _ARTIFACT.match(text) is not None


def is_request_id(text: object) -> bool:
    return isinstance(text, str) and _ID.match(text) is not None


def is_key(text: object) -> bool:
    """Whether this is a partition key."""
    return isinstance(text, str) and _KEY.match(text) is not None
