"""Stream the feed to a guard: the entries after its position, and every few seconds how fresh they are."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from keybearer.errors import ApiKeyError, Overloaded, PermissionDenied, StorageUnavailable
from keybearer.guard._core import CredentialCheck, CredentialState
from keybearer.server.domain.api_keys import require_guard_key
from keybearer.server.domain.revocations import FeedBatch, FeedEvent, FeedPulse, FeedReset
from keybearer.server.flows.follow_feed import FeedFollower
from keybearer.server.ports import Clock, Feed

PULSE_INTERVAL = 5.0
"""Seconds between two pulses of a stream on which nothing else happens."""

RETRY_AFTER = 5
"""Seconds after which a guard that finds no room, or a process without sight of the database, comes back."""


@dataclass(slots=True)
class FeedStreams:
    """All streams of this process, at most `limit`. A stream holds no entries of its own: it has a position, and reads
    what follows when its reader has taken what came before.

    `patience` (seconds): a process that has been without sight of the database for longer ends its streams and begins
    none. It is less than the staleness that guards accept, so that they can turn to another process in time.
    """

    follower: FeedFollower
    feed: Feed
    state: CredentialState
    check: CredentialCheck
    clock: Clock
    limit: int
    patience: float
    count: int = 0
    _closed: bool = field(default=False, init=False)

    def close(self) -> None:
        """End all streams, and begin no more."""
        self._closed = True
        self.follower.wake()

    async def follow(self, key: str, start: tuple[str, int] | None) -> AsyncGenerator[FeedEvent, None]:
        """The events after `start` (epoch and position), or from now on, for the guard whose Api-Key `key` is.

        Ends after a reset, when the key is not admitted any more, when `patience` is over, and at `close`. Raises
        Overloaded and StorageUnavailable, before the first event only.
        """
        if self._closed or self.count >= self.limit:
            raise Overloaded("This process has as many streams as it takes.", retry_after=RETRY_AFTER)
        if self._is_blind():
            raise StorageUnavailable("The service has lost sight of revocations.", retry_after=RETRY_AFTER)
        self.count += 1
        begun = False
        try:
            async with aclosing(self._events(key, *(start or (self.follower.epoch, self.follower.position)))) as events:
                async for event in events:
                    begun = True
                    yield event
        except StorageUnavailable:
            if not begun:
                raise
        finally:
            self.count -= 1

    async def _events(self, key: str, epoch: str, position: int) -> AsyncGenerator[FeedEvent, None]:
        follower = self.follower
        while self._goes_on(key):
            moved = follower.moved
            if (epoch, position) == (follower.epoch, follower.position):
                yield FeedPulse(epoch, position, self.state.as_of or 0, self.clock.now())
                await _wait(moved)
                continue
            event = await self._read_after(epoch, position)
            yield event
            if isinstance(event, FeedReset):
                return
            position = event.position

    async def _read_after(self, epoch: str, position: int) -> FeedBatch | FeedReset:
        """What follows a position: from the entries that are kept, or else from the database, which also knows whether
        the position is one of its own. A guard may come from a process that is ahead of this one by a moment."""
        follower = self.follower
        if epoch != follower.epoch or position > follower.position:
            await follower.catch_up()
        batch = follower.recent.find_after(position) if epoch == follower.epoch else None
        if batch is not None:
            return batch
        tail = await self.feed.tail(epoch, position)
        return FeedReset() if tail.reset else FeedBatch.of(tail)

    def _goes_on(self, key: str) -> bool:
        return not self._closed and not self._is_blind() and self._is_admitted(key)

    def _is_blind(self) -> bool:
        return self.check.staleness(self.clock.now()) > self.patience

    def _is_admitted(self, key: str) -> bool:
        try:
            require_guard_key(self.check.verify_key_as_known(key, None, self.clock.now()))
        except (ApiKeyError, PermissionDenied):
            return False
        return True


async def _wait(moved: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PULSE_INTERVAL):
            await moved.wait()
