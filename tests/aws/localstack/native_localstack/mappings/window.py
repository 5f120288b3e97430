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

    def add(self, events: list[Event], now: float) -> None:
        """Takes records in the order of the shard."""
        if not self.waiting:
            self.since = now
        self.waiting += events

    def left(self, now: float) -> float | None:
        """The seconds until the window is over; None while no record waits."""
        if not self.waiting:
            return None
        return max(0.0, self.since + self.seconds - now)

    def take(self, now: float) -> list[Event]:
        """The records that are due: all when the window is over, else those that fill batches."""
        due = len(self.waiting) if self.left(now) == 0 else self._full()
        events, self.waiting = self.waiting[:due], self.waiting[due:]
        if due:
            self.since = now
        return events

    def _full(self) -> int:
        """How many of the records fill batches, either in number or in bytes."""
        full = records = taken = 0
        for index, event in enumerate(self.waiting):
            bytes_ = size(event)
            if records and taken + bytes_ > MOST_BYTES:
                full, records, taken = index, 0, 0
            records += 1
            taken += bytes_
            if records == self.most_records:
                full, records, taken = index + 1, 0, 0
        return full
