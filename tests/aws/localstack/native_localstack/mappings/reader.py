"""Reads one shard for one mapping."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from native_localstack.mappings.batches import Event, lanes, sequence_number, split
from native_localstack.mappings.delivery import Rules, Target, deliver
from native_localstack.mappings.window import Window

LOG = logging.getLogger(__name__)

# How long a reader that found nothing waits at most before it looks again.
LONGEST_WAIT = 1.0


class Source(Protocol):
    """A shard of a stream."""

    def read(self, iterator: str) -> tuple[list[Event], str | None]:
        """The records at the iterator, and the iterator after them, which a closed shard has no more."""
        ...

    def at(self, number: str) -> str:
        """The iterator at the record with this sequence number."""
        ...

    def wait(self, iterator: str, seconds: float) -> None:
        """Returns when there is something to read, after so many seconds at the latest."""
        ...


@dataclass(frozen=True)
class Settings:
    """What a mapping says about batches."""

    batch_size: int
    window_seconds: float = 0.0
    lanes: int = 1
    rules: Rules = field(default_factory=Rules)


class ShardReader:
    """Reads a shard in rounds: what was read is delivered, up to `lanes` batches at a time, before more is read."""

    def __init__(
        self,
        source: Source,
        target: Target,
        settings: Settings,
        iterator: str,
        select: Callable[[list[Event]], list[Event]] = lambda events: events,
    ) -> None:
        self.source = source
        self.target = target
        self.settings = settings
        self.select = select
        self._iterator = iterator
        # The first record that was left when the mapping was switched off.
        self._unhandled: Event | None = None
        self._window = Window(settings.batch_size, settings.window_seconds)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Reads until the mapping is switched off or the shard is closed and has been read."""
        self._thread.start()

    def join(self) -> None:
        """Waits until nothing is read or delivered any more."""
        if self._thread.ident is not None:
            self._thread.join()

    def checkpoint(self) -> str:
        """Where a mapping that is enabled again goes on: everything before has been handled or given up."""
        first = self._unhandled or next(iter(self._window.waiting), None)
        return self._iterator if first is None else self.source.at(sequence_number(first))

    def _run(self) -> None:
        with ThreadPoolExecutor(self.settings.lanes) as pool:
            while not self.target.stopped():
                try:
                    if not self.round(pool):
                        return
                except Exception:
                    # Its stream may be gone, or the server may not answer.
                    LOG.warning("a shard cannot be read", exc_info=True)
                    self.target.wait(LONGEST_WAIT)

    def round(self, pool: ThreadPoolExecutor) -> bool:
        """Reads once, delivers what is due, or waits; false when the shard has come to its end."""
        read, following = self.source.read(self._iterator)
        if selected := self.select(read):
            self._window.add(selected, self.target.now())
        if following is not None:
            self._iterator = following
        due = self._window.take(self.target.now())
        self._unhandled = self._deliver(due, pool) if due else None
        if not read:
            if following is None and not self._window.waiting:
                return False
            left = self._window.left(self.target.now())
            self.source.wait(self._iterator, LONGEST_WAIT if left is None else min(left, LONGEST_WAIT))
        return True

    def _deliver(self, events: list[Event], pool: ThreadPoolExecutor) -> Event | None:
        """Returns the first record that was left, if the mapping was switched off."""

        def one(lane: list[Event]) -> Event | None:
            return deliver(list(split(lane, self.settings.batch_size)), self.settings.rules, self.target)

        used = [lane for lane in lanes(events, self.settings.lanes) if lane]
        # Handing a single one to another thread would only take time.
        results = pool.map(one, used) if len(used) > 1 else map(one, used)
        left = [event for event in results if event is not None]
        return min(left, key=lambda event: int(sequence_number(event)), default=None)
