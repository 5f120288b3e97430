"""Sends scores while the model computes others."""

import threading
from collections.abc import Sequence

from rendezvous_model import clock
from rendezvous_model.limits import SEND_WITHIN
from rendezvous_model.stream import Record, Stream


class Outbox:
    """The scores of one invocation.

    A thread sends them: the first at once, then always all that have come while it sent. So a score does not wait for the
    rest of the batch, and a model that scores one payload at a time does not wait for a PutRecords after each.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, Record]] = []
        self._unsent: set[int] = set()
        self._until = 0.0
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, records: Sequence[tuple[int, Record]]) -> None:
        """Sends records from now on, for at most `SEND_WITHIN`. The number beside each is for `close`."""
        with self._changed:
            self._waiting.extend(records)
            self._unsent.update(number for number, _ in records)
            self._until = clock.monotonic() + SEND_WITHIN
            self._changed.notify()
        if self._thread is None:
            # A daemon does not keep the process from ending.
            self._thread = threading.Thread(target=self._send, name="scores", daemon=True)
            self._thread.start()

    def close(self) -> set[int]:
        """Waits until all is sent or its time is up. Returns the numbers of the records that were not sent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            # A call that is under way when the time is up is left behind. What it sends is sent twice, which changes nothing.
            self._thread.join(max(0.0, self._until - clock.monotonic()))
        with self._changed:
            return set(self._unsent)

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                waiting, self._waiting, until = self._waiting, [], self._until
            if not waiting:
                return
            rejected = set(self._stream.put([record for _, record in waiting], until))
            with self._changed:
                self._unsent.difference_update(number for i, (number, _) in enumerate(waiting) if i not in rejected)
