"""What the service does by itself: rotate keys that are due, note the use of keys, remove what has expired."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from keybearer.errors import StorageUnavailable
from keybearer.server.ports import ApiKeyStore, Clock, Storage

INTERVAL = 60.0
"""Seconds between two rounds."""

BATCH = 500
"""Rows of one kind that one transaction removes, so that no request waits long for it."""

log = structlog.get_logger("keybearer.upkeep")


@dataclass(slots=True)
class KeyUse:
    """Remembers which Api-Keys were used since the last round; bounded by the number of keys."""

    api_keys: ApiKeyStore
    clock: Clock
    _used: set[str] = field(default_factory=set)

    def note(self, key_id: str) -> None:
        self._used.add(key_id)

    async def write(self) -> None:
        """Write down the keys used since the last call; kept for the next one when the storage is out of reach."""
        used, self._used = self._used, set()
        if not used:
            return
        now = self.clock.now()
        try:
            await self.api_keys.record_use([(UUID(key_id), now) for key_id in sorted(used)])
        except StorageUnavailable:
            self._used |= used
            raise


@dataclass(frozen=True, slots=True)
class Upkeep:
    """`renew_keys` promotes, retires and reloads secret keys. `audit_retention` is in seconds."""

    storage: Storage
    key_use: KeyUse
    renew_keys: Callable[[], Awaitable[None]]
    audit_retention: int

    async def run(self) -> None:
        """A round every `INTERVAL`, until cancelled. A database out of reach costs a round, not the service."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.round()
            except StorageUnavailable:
                log.warning("upkeep postponed: the database is out of reach")

    async def round(self) -> None:
        await self.renew_keys()
        await self.key_use.write()
        await self.remove_expired()

    async def remove_expired(self) -> int:
        """Remove everything that has expired, batch by batch; how many rows."""
        removed = 0
        audit_before = await self.storage.now() - self.audit_retention * 1000
        while True:
            batch = await self.storage.remove_expired(limit=BATCH, audit_before=audit_before)
            removed += batch.total
            if batch.total < BATCH:
                return removed
            await asyncio.sleep(0)
