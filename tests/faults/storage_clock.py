"""What the storage's clock showed while something happened: it may have been stepped, and a client's never is."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from tests.faults.history import NEVER, ClockSet, Operation, Record

SLACK = 100
"""Milliseconds by which the storage's clock may be off what is said of it: all run on one machine."""


@dataclass(frozen=True, slots=True)
class StorageClock:
    """`steps` are (when, offset from then on), the first of them for ever before."""

    steps: tuple[tuple[int, int], ...] = ((0, 0),)

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        told = sorted((record.at, record.offset) for record in records if isinstance(record, ClockSet))
        return cls(((0, 0), *told))

    def earliest(self, operation: Operation) -> int:
        """What it can have shown when the operation took effect, at least."""
        return operation.began - SLACK + min(self._offsets(operation))

    def latest(self, operation: Operation) -> int:
        return operation.ended + SLACK + max(self._offsets(operation))

    def when(self, shown: int, until: int) -> int:
        """The last instant, until then, at which it showed that; `shown` itself where it never did."""
        return max(self._instants(shown, until), default=shown)

    def _instants(self, shown: int, until: int) -> Iterator[int]:
        for (began, offset), (ended, _) in pairwise((*self.steps, (NEVER, 0))):
            instant = shown - offset
            if began - SLACK <= instant < ended + SLACK and instant <= until + SLACK:
                yield instant

    def _offsets(self, operation: Operation) -> list[int]:
        """Of the steps that were in effect at any moment of it."""
        first = bisect_right(self.steps, operation.began, key=lambda step: step[0]) - 1
        last = bisect_right(self.steps, operation.ended, key=lambda step: step[0])
        return [offset for _, offset in self.steps[first:last]]
