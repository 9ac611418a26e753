"""Counters that cost the verifying threads one call of C, and lose nothing between threads."""

import itertools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuardMetrics:
    """What a guard has done since it was made, in this process.

    `staleness`: seconds since its state was known to be the truth; infinite before the first snapshot.
    `verified`, `refused`: requests. `introspected`: requests about which the service was asked.
    `snapshots`, `snapshots_refused`: taken, and not taken because they were malformed, too large or another issuer's.
    `reconnects`: times that the feed was lost. `unknown_kinds`: entries of a newer service, ignored.
    `key_fetches`, `key_fetches_failed`: times that the key set was asked for, and how many of them brought none.
    """

    staleness: float
    verified: int
    refused: int
    introspected: int
    snapshots: int
    snapshots_refused: int
    reconnects: int
    entries: int
    unknown_kinds: int
    key_fetches: int
    key_fetches_failed: int


class Counter:
    """`add` counts one; any thread may call it."""

    __slots__ = ("_read", "add")

    def __init__(self) -> None:
        self.add = itertools.count().__next__
        self._read = itertools.count().__next__

    def value(self) -> int:
        """Reading counts too, and is counted. Readers that meet may be one off."""
        return self.add() - self._read()


@dataclass(slots=True)
class FeedCounts:
    """What following has come to; one thread counts."""

    snapshots: int = 0
    snapshots_refused: int = 0
    reconnects: int = 0
    entries: int = 0
    unknown_kinds: int = 0


@dataclass(slots=True)
class KeyCounts:
    fetches: int = 0
    failures: int = 0
