"""The feed: the log of everything that ends or changes a credential before its time.

A process replays it into the state against which it checks credentials (`keybearer.guard`). Positions are ordered by
commit: who has seen position n has seen everything up to n.
"""

from dataclasses import dataclass

from keybearer.guard.state import ApiKeyState, ApplicationState, Entry, RevokedSession, RevokedUser

ENTRY_GRACE = 120
"""Seconds that an entry outlives the last access token that it concerns."""

STATE_ENTRY_LIFETIME = 86400
"""Seconds that an entry about an application, a key or the key set stays; the state itself is in the snapshot."""


@dataclass(frozen=True, slots=True)
class FeedSnapshot:
    """The whole state at `position`. `as_of` is when the database was read."""

    epoch: str
    position: int
    as_of: int
    key_set_version: int
    applications: tuple[ApplicationState, ...]
    keys: tuple[ApiKeyState, ...]
    sessions: tuple[RevokedSession, ...]
    users: tuple[RevokedUser, ...]


@dataclass(frozen=True, slots=True)
class FeedTail:
    """What follows a position, in order; `positions` are those of the entries. `reset`: the follower must take the
    snapshot (another epoch, a position gone). `more`: the answer was cut; what follows it is to be asked for."""

    epoch: str
    position: int
    as_of: int
    entries: tuple[Entry, ...]
    positions: tuple[int, ...] = ()
    reset: bool = False
    more: bool = False


@dataclass(frozen=True, slots=True)
class EpochBegun:
    """The feed goes on at `position` of another epoch since `at`; `sessions` counts those that were ended for it."""

    epoch: str
    position: int
    at: int
    sessions: int


@dataclass(frozen=True, slots=True, eq=False)
class FeedBatch:
    """The entries that led up to `position`, each with its own, from a position that the reader has reached."""

    epoch: str
    position: int
    entries: tuple[tuple[int, Entry], ...]

    @classmethod
    def of(cls, tail: FeedTail) -> "FeedBatch":
        return cls(tail.epoch, tail.position, tuple(zip(tail.positions, tail.entries, strict=True)))

    def after(self, position: int) -> "FeedBatch":
        """What is left of it for a reader who has come to `position`."""
        if not self.entries or self.entries[0][0] > position:
            return self
        return FeedBatch(self.epoch, self.position, tuple(entry for entry in self.entries if entry[0] > position))


@dataclass(frozen=True, slots=True)
class FeedPulse:
    """Everything up to `position` was given, and nothing committed before `as_of` is missing. `now` is the clock."""

    epoch: str
    position: int
    as_of: int
    now: int


@dataclass(frozen=True, slots=True)
class FeedReset:
    """What follows the reader's position cannot be given: he must take the snapshot."""


FeedEvent = FeedBatch | FeedPulse | FeedReset
