"""Whose turn it is to be sent a snapshot of the feed: a few at once, and the others wait for a while."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from keybearer.errors import Overloaded

AT_ONCE: Final = 8
"""Snapshots that are sent at once. Each takes some 300 kB of memory, and the loop for a millisecond or two at a time:
more of them would not be ready sooner, and would hold up other requests for longer."""

PATIENCE: Final = 10.0
"""Seconds to wait for a turn; guards wait for 15."""

RETRY_AFTER: Final = 5
"""Seconds after which who has had no turn comes back."""


@dataclass(slots=True)
class SnapshotTurns:
    """At most `limit` are served or wait; `count` says how many."""

    limit: int
    count: int = 0
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)

    @asynccontextmanager
    async def take(self) -> AsyncGenerator[None, None]:
        """A turn, until the block ends. In the order of asking; raises Overloaded when none has come in time."""
        if self.count >= self.limit:
            raise Overloaded("As many guards as may do so wait for a snapshot.", retry_after=RETRY_AFTER)
        self.count += 1
        try:
            await self._wait()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self.count -= 1

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded("Other guards are being sent their snapshots.", retry_after=RETRY_AFTER) from None
