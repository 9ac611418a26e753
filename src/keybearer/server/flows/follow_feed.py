"""Follow the feed: what was revoked anywhere is known here within a few tens of milliseconds."""

import asyncio
from collections.abc import Awaitable, Callable

from keybearer.errors import StorageUnavailable
from keybearer.guard._core import CredentialState
from keybearer.server.domain.revocations import FeedSnapshot
from keybearer.server.ports import Clock, Feed

TAIL_INTERVAL = 0.025
"""Seconds between two looks at the log."""

RETRY_INTERVAL = 0.5
"""Seconds between two tries while the database is out of reach."""


class FeedFollower:
    """Replays the feed into `state`. `on_key_set` loads the keys when the key set has another version; when it
    fails, the next reading calls it again.

    `state.as_of` is this process's clock before the last successful read began: nothing committed before is missing.
    """

    def __init__(
        self, feed: Feed, state: CredentialState, clock: Clock, on_key_set: Callable[[], Awaitable[None]]
    ) -> None:
        self._feed = feed
        self._state = state
        self._clock = clock
        self._on_key_set = on_key_set
        self._epoch = ""
        self._position = -1
        self._keys_version: int | None = None
        self._reading = asyncio.Lock()

    async def catch_up(self) -> None:
        """Know everything that was committed before this call. Raises StorageUnavailable."""
        async with self._reading:
            await self._read()
            version = self._state.key_set_version
            if version != self._keys_version:
                await self._on_key_set()
                self._keys_version = version

    async def run(self) -> None:
        """Follow until cancelled; a database out of reach is tried again and again."""
        while True:
            try:
                await self.catch_up()
            except StorageUnavailable:
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                await asyncio.sleep(TAIL_INTERVAL)

    async def _read(self) -> None:
        """Read to the end of the log. The age of the state is that of the first reading; a follower that is far behind
        is not fresh before it has caught up."""
        as_of = self._clock.now()
        while True:
            tail = await self._feed.tail(self._epoch, self._position)
            if tail.reset:
                self._take(await self._feed.snapshot())
                break
            for entry in tail.entries:
                self._state.apply(entry)
            self._position = tail.position
            if not tail.more:
                break
        self._state.expire(as_of)
        self._state.as_of = as_of

    def _take(self, snapshot: FeedSnapshot) -> None:
        self._state.replace(
            applications=snapshot.applications,
            keys=snapshot.keys,
            sessions=snapshot.sessions,
            users=snapshot.users,
            key_set_version=snapshot.key_set_version,
        )
        self._epoch = snapshot.epoch
        self._position = snapshot.position
