"""The function's environment. What is wrong in it fails the cold start and names the variable."""

import logging
import os


def optional(name: str) -> str | None:
    """The value of a variable, where it is set and not empty."""
    return os.environ.get(name) or None


def required(name: str) -> str:
    value = optional(name)
    if value is None:
        raise ValueError(f"the environment variable {name} is not set")
    return value


def number(name: str) -> int | None:
    """The value of a variable that must be a whole number where it is set."""
    value = optional(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"the environment variable {name} must be a whole number, not {value!r}")
    return int(value)


def on_lambda() -> bool:
    """Whether a Lambda runtime has started this process, on AWS or locally."""
    return "AWS_LAMBDA_RUNTIME_API" in os.environ


def set_log_level() -> None:
    """Sets the level of this package's logs to LOG_LEVEL, as the template means it: error, warn, info or debug.

    Those of libraries stay as they are, since below warnings they quote payloads and credentials.
    """
    levels = logging.getLevelNamesMapping()
    level = levels.get(os.environ.get("LOG_LEVEL", "info").upper(), logging.INFO)
    logging.getLogger("rendezvous_model").setLevel(level)
