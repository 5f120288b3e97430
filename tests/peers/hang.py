"""One call in so many hangs, as with `rendezvous-local serve --hang`: after the time-out of the model's card it has failed.

A call that never returns would keep its thread in Python for good. Here it gives it back after the time-out, in favour of
the servers in Python.
"""

import itertools
import os

# The `timeout_ms` of the cards.
TIME_OUT = 0.05

_one_in = int(os.environ.get("HANG_ONE_IN", "0"))
_calls = itertools.count()


def hangs() -> bool:
    """Whether this call of the champion does."""
    return _one_in > 0 and next(_calls) % _one_in == 0
