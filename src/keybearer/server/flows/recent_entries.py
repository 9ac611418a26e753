"""The last entries of the feed that a process has read, for those who follow the feed through it."""

from bisect import bisect_right
from collections import deque

from keybearer.server.domain.revocations import FeedBatch

KEPT_ENTRIES = 10_000
"""Entries that are kept; who is further behind is served from the database."""


class RecentEntries:
    """Batches in the order of their positions; together they lead from `start` to the last one's position."""

    def __init__(self, limit: int = KEPT_ENTRIES) -> None:
        self._limit = limit
        self._batches: deque[FeedBatch] = deque()
        self._count = 0
        self.start = -1

    def restart(self, position: int) -> None:
        """Forget everything: what comes next follows `position`."""
        self._batches.clear()
        self._count = 0
        self.start = position

    def add(self, batch: FeedBatch) -> None:
        """Take what follows the last batch; the oldest ones make room."""
        self._batches.append(batch)
        self._count += len(batch.entries)
        while self._count > self._limit:
            oldest = self._batches.popleft()
            self._count -= len(oldest.entries)
            self.start = oldest.position

    def find_after(self, position: int) -> FeedBatch | None:
        """The next entries after `position`; None when they are not kept (any more) or have not come yet."""
        if position < self.start:
            return None
        index = bisect_right(self._batches, position, key=lambda batch: batch.position)
        return self._batches[index].after(position) if index < len(self._batches) else None
