"""What was revoked, in tables made for a million entries: ids as integers, ends shared, no object per entry besides.

One session takes an integer of 128 bits (48 bytes), its slot in a dict (about 42, index included) and its place in a
bucket (16). Any thread may look things up while one thread changes the tables: a look-up is one operation of a dict.
"""

import heapq
import time
from collections.abc import Iterator
from uuid import UUID

from keybearer.guard.state import RevokedSession, RevokedUser

Key = int | str
"""The 128 bits of a UUID; an id that is none is its own key."""

EXPIRE_AT_ONCE = 10_000
"""Entries that one call of `expire` looks at, so that it never stops a process for long."""

TURN = 0.0002
"""Seconds of sleep after a millisecond or two of work, so that other threads get their turn at once. The interpreter
alone would let them wait for five milliseconds each time that they have let go."""

_DIGITS = 32
_KEY_BYTES = 16
_PARTS = 64
_RESOLUTION = 1000


def key_of(id: str) -> Key:
    """The key that stands for an id. Another spelling of the same UUID has the same one, so that it is revoked too."""
    digits = id.replace("-", "")
    if len(digits) != _DIGITS:
        return id
    try:
        return int(digits, 16)
    except ValueError:
        return id


def id_of(key: Key) -> str:
    return key if isinstance(key, str) else str(UUID(int=key))


class _Bucket:
    """The keys to look at when `end` has come."""

    __slots__ = ("_numbers", "_texts", "end")

    def __init__(self, end: int) -> None:
        self.end = end
        self._numbers = bytearray()  # a list of integers would be walked by every round of the garbage collector
        self._texts: list[str] = []

    def add(self, key: Key) -> None:
        if isinstance(key, int):
            self._numbers += key.to_bytes(_KEY_BYTES)
        else:
            self._texts.append(key)

    def pop(self) -> Key | None:
        if self._texts:
            return self._texts.pop()
        if not self._numbers:
            return None
        key = int.from_bytes(self._numbers[-_KEY_BYTES:])
        del self._numbers[-_KEY_BYTES:]
        return key


class _Table:
    """A dict in parts: each grows on its own, in a millisecond, where the whole would stop every thread for thirty."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: tuple[dict[Key, int], ...] = tuple({} for _ in range(_PARTS))

    def part(self, key: Key) -> dict[Key, int]:
        """The dict in which this key stands, if it does."""
        return self._parts[hash(key) % _PARTS]

    def keys(self) -> Iterator[Key]:
        """All that are there from beginning to end; one that is added or goes meanwhile may be among them or not."""
        for part in self._parts:
            yield from list(part)

    def dissolve(self) -> None:
        for part in self._parts:
            while part:
                part.popitem()
            time.sleep(TURN)

    def __len__(self) -> int:
        return sum(map(len, self._parts))


class Revocations:
    """Sessions that have ended, with the end of their entry, and users with the lowest `ver` that is accepted of them.

    Ends are rounded up to whole seconds, so that thousands of entries share one.
    """

    def __init__(self) -> None:
        self.mark = object()
        """Another one after every entry: who has looked and finds the same one need not look again."""
        self._sessions = _Table()
        self._users = _Table()
        self._user_ends = _Table()
        self._buckets: dict[int, _Bucket] = {}
        self._ends: list[int] = []

    def is_revoked(self, session: Key, user: Key, ver: int) -> bool:
        """Whether tokens of this session, or of this user with this `ver`, are refused."""
        return session in self._sessions.part(session) or ver < self._users.part(user).get(user, 0)

    def add_session(self, id: str, expires_at: int) -> None:
        """A repeated or earlier entry changes nothing."""
        key = key_of(id)
        sessions = self._sessions.part(key)
        bucket = self._bucket(expires_at)
        if sessions.get(key, -1) < bucket.end:
            sessions[key] = bucket.end
            bucket.add(key)
            self.mark = object()

    def add_user(self, id: str, ver: int, expires_at: int) -> None:
        """A repeated entry or one with a lower `ver` changes nothing."""
        key = key_of(id)
        users, ends = self._users.part(key), self._user_ends.part(key)
        if ver < users.get(key, 0):
            return
        bucket = self._bucket(expires_at)
        if ends.get(key, -1) < bucket.end:
            ends[key] = bucket.end
            bucket.add(key)
        users[key] = ver
        self.mark = object()

    def expire(self, now: int) -> bool:
        """Drop what ended at `now` or before. True when there is more of it, for the next call."""
        for _ in range(EXPIRE_AT_ONCE):
            if not self._ends or self._ends[0] > now:
                return False
            key = self._buckets[self._ends[0]].pop()
            if key is None:
                del self._buckets[heapq.heappop(self._ends)]
            else:
                self._drop(key, now)
        return True

    def list_sessions(self) -> Iterator[RevokedSession]:
        """What there is now, made one by one; what has gone when its turn comes is left out."""
        for key in self._sessions.keys():  # noqa: SIM118 - not a mapping
            end = self._sessions.part(key).get(key)
            if end is not None:
                yield RevokedSession(id_of(key), end)

    def list_users(self) -> Iterator[RevokedUser]:
        """As `list_sessions`."""
        for key in self._users.keys():  # noqa: SIM118 - as above
            ver, end = self._users.part(key).get(key), self._user_ends.part(key).get(key)
            if ver is not None and end is not None:
                yield RevokedUser(id_of(key), ver, end)

    def dissolve(self) -> None:
        """Empty tables that nobody asks any more, bit by bit: in one go a million would stop every thread. Not for an
        event loop to call."""
        for table in (self._sessions, self._users, self._user_ends):
            table.dissolve()

    def __len__(self) -> int:
        return len(self._sessions) + len(self._users)

    def _bucket(self, instant: int) -> _Bucket:
        end = -(-instant // _RESOLUTION) * _RESOLUTION
        bucket = self._buckets.get(end)
        if bucket is None:
            bucket = self._buckets[end] = _Bucket(end)
            heapq.heappush(self._ends, end)
        return bucket

    def _drop(self, key: Key, now: int) -> None:
        sessions, ends = self._sessions.part(key), self._user_ends.part(key)
        if sessions.get(key, now + 1) <= now:
            del sessions[key]
        if ends.get(key, now + 1) <= now:
            del ends[key]
            del self._users.part(key)[key]
