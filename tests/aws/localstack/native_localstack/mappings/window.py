"""The batching window of one shard."""

from native_localstack.mappings.batches import MOST_BYTES, Event, size


class Window:
    """Gathers records until there are enough for a batch, or the window is over.

    The window begins with the first record that waits. Times are of the caller's clock, in seconds.
    """

    def __init__(self, most_records: int, seconds: float) -> None:
        self.most_records = most_records
        self.seconds = seconds
        self.waiting: list[Event] = []
        self.since = 0.0
        # How many of the records that wait fill batches, either in number or in bytes; and what the batch after these has.
        self._full = self._records = self._bytes = 0

    def add(self, events: list[Event], now: float) -> None:
        """Takes records in the order of the shard."""
        if not self.waiting:
            self.since = now
        for event in events:
            self._count(size(event))
            self.waiting.append(event)

    def _count(self, bytes_: int) -> None:
        if self._records and self._bytes + bytes_ > MOST_BYTES:
            self._full, self._records, self._bytes = len(self.waiting), 0, 0
        self._records += 1
        self._bytes += bytes_
        if self._records == self.most_records:
            self._full, self._records, self._bytes = len(self.waiting) + 1, 0, 0

    def left(self, now: float) -> float | None:
        """The seconds until the window is over; None while no record waits."""
        if not self.waiting:
            return None
        return max(0.0, self.since + self.seconds - now)

    def take(self, now: float) -> list[Event]:
        """The records that are due: all when the window is over, else those that fill batches."""
        due = len(self.waiting) if self.left(now) == 0 else self._full
        if not due:
            return []
        events, self.waiting = self.waiting[:due], self.waiting[due:]
        self.since, self._full = now, 0
        if not self.waiting:
            self._records = self._bytes = 0
        return events
