"""Follow the feed: what was revoked anywhere is known here within a few tens of milliseconds."""

import asyncio
from collections.abc import Awaitable, Callable

from keybearer.errors import StorageUnavailable
from keybearer.guard._core import CredentialState
from keybearer.server.domain.revocations import FeedBatch, FeedSnapshot, FeedTail
from keybearer.server.flows.recent_entries import RecentEntries
from keybearer.server.ports import Clock, Feed

TAIL_INTERVAL = 0.025
"""Seconds between two looks at the log."""

RETRY_INTERVAL = 0.5
"""Seconds between two tries while the database is out of reach."""


class FeedFollower:
    """Replays the feed into `state`, and keeps its last entries in `recent`. `on_key_set` loads the keys when the key
    set has another version; when it fails, the next reading calls it again.

    `epoch` and `position` say how far `state` has come. `state.as_of` is this process's clock before the last
    successful read began: nothing committed before is missing.
    """

    def __init__(
        self, feed: Feed, state: CredentialState, clock: Clock, on_key_set: Callable[[], Awaitable[None]]
    ) -> None:
        self.epoch = ""
        self.position = -1
        self.recent = RecentEntries()
        self.moved = asyncio.Event()
        """Set when the position moves, and then replaced by another one. Take it before you look at the position."""
        self._feed = feed
        self._state = state
        self._clock = clock
        self._on_key_set = on_key_set
        self._keys_version: int | None = None
        self._reading = asyncio.Lock()

    async def catch_up(self) -> None:
        """Know everything that was committed before this call. Raises StorageUnavailable."""
        async with self._reading:
            before = self.epoch, self.position
            try:
                await self._read()
                version = self._state.key_set_version
                if version != self._keys_version:
                    await self._on_key_set()
                    self._keys_version = version
            finally:  # the keys first: who hears of a new key set asks for it at once
                if before != (self.epoch, self.position):
                    self.wake()

    async def run(self) -> None:
        """Follow until cancelled; a database out of reach is tried again and again."""
        while True:
            try:
                await self.catch_up()
            except StorageUnavailable:
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                await asyncio.sleep(TAIL_INTERVAL)

    def wake(self) -> None:
        """Let everybody who waits for `moved` look again."""
        self.moved.set()
        self.moved = asyncio.Event()

    async def _read(self) -> None:
        """Read to the end of the log. The age of the state is that of the first reading; a follower that is far behind
        is not fresh before it has caught up."""
        as_of = self._clock.now()
        while True:
            tail = await self._feed.tail(self.epoch, self.position)
            if tail.reset:
                self._take(await self._feed.snapshot())
                break
            self._apply(tail)
            if not tail.more:
                break
        self._state.expire(as_of)
        self._state.as_of = as_of

    def _apply(self, tail: FeedTail) -> None:
        for entry in tail.entries:
            self._state.apply(entry)
        if tail.position != self.position:
            self.recent.add(FeedBatch.of(tail))
            self.position = tail.position

    def _take(self, snapshot: FeedSnapshot) -> None:
        self._state.replace(
            applications=snapshot.applications,
            keys=snapshot.keys,
            sessions=snapshot.sessions,
            users=snapshot.users,
            key_set_version=snapshot.key_set_version,
        )
        self.epoch = snapshot.epoch
        self.position = snapshot.position
        self.recent.restart(snapshot.position)
