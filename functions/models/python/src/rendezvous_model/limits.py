"""How the time-out of a function limits the time-out of its model: the same rules as in `runtime/src/time.rs`.

When a function itself times out, Lambda discards what it had to say and invokes it again with the same batch. So all calls
of the model must end early enough for their failures to be sent.
"""

from dataclasses import dataclass

from rendezvous_model import clock

# The time-out of a function that does not say another in FUNCTION_TIMEOUT_SECONDS.
DEFAULT_FUNCTION_TIMEOUT = 30.0
# The longest time-out that Lambda allows for a function.
MAX_FUNCTION_TIMEOUT = 900.0
# How long scores are sent again before their requests are returned to Lambda.
SEND_WITHIN = 5.0
# For reading the batch and for the response to Lambda.
RESERVE = 1.0


def longest_model_timeout(function_timeout: float) -> float:
    """The longest time-out that a model may have in a function with this time-out, in seconds."""
    return max(0.0, function_timeout - SEND_WITHIN - RESERVE)


@dataclass(frozen=True)
class Limit:
    """How long a call may take."""

    seconds: float
    of_invocation: bool
    """Whether what is left of the invocation is less than the model's own time-out."""

    def message(self) -> str:
        rest = ", which were left of the function's time-out" if self.of_invocation else ""
        return f"no score within {int(self.seconds * 1_000)} ms{rest}"


class Limits:
    """The limits of the calls of one invocation, which begins now."""

    def __init__(self, model_timeout: float, function_timeout: float) -> None:
        self._model_timeout = model_timeout
        self._until = clock.monotonic() + longest_model_timeout(function_timeout)

    def next(self) -> Limit:
        """The limit of a call that begins now."""
        left = max(0.0, self._until - clock.monotonic())
        if self._model_timeout <= left:
            return Limit(self._model_timeout, of_invocation=False)
        return Limit(left, of_invocation=True)
