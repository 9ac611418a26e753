"""The databases that the suites run on, each with what a test may do to it. The suites themselves name none.

A backend is one fresh database with a clock that the test moves. `open` gives a storage on it; several may be open.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

import asyncpg

from keybearer.server.domain.sessions import SessionPolicy
from keybearer.server.ports import Storage
from keybearer.server.storage.postgres import PostgresStorage
from keybearer.server.storage.sqlite import SqliteStorage
from tests.support.clock import CLOCK_SQL, DatabaseClock, FakeClock
from tests.support.randomness import SeededRandomness

POLICY = SessionPolicy()

IDLE_SECONDS = 5.0
"""How long a connection may take to come back to the pool after the call that used it."""


class Backend(Protocol):
    name: str
    database_url: str
    clock: FakeClock

    def build(self, policy: SessionPolicy = POLICY) -> Storage:
        """A storage that is not open yet, for who opens and closes it by himself."""

    async def open(self, policy: SessionPolicy = POLICY) -> Storage:
        """Another storage on this database, as another process would have."""

    async def close(self, storage: Storage) -> None:
        """Close a storage that `open` gave, after asserting that none of its connections is in use."""

    def forget(self, storage: Storage) -> None:
        """The test has closed this storage itself."""

    async def close_all(self) -> None:
        """Close what a test has left open, with the same assertion, and the backend's own connections."""


class SqliteBackend:
    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database_url = f"sqlite:///{path}"
        self.clock = FakeClock()
        self._open: list[Storage] = []

    def build(self, policy: SessionPolicy = POLICY) -> SqliteStorage:
        return SqliteStorage(self.path, policy, self.clock, SeededRandomness())

    async def open(self, policy: SessionPolicy = POLICY) -> Storage:
        storage = self.build(policy)
        await storage.open()
        self._open.append(storage)
        return storage

    async def close(self, storage: Storage) -> None:
        assert_nothing_locked(self.path)
        self.forget(storage)
        await storage.close()

    def forget(self, storage: Storage) -> None:
        self._open.remove(storage)

    async def close_all(self) -> None:
        for storage in tuple(self._open):
            await self.close(storage)


def assert_nothing_locked(path: Path) -> None:
    """No transaction is open: the whole file can be locked at once, and all of the log can be written back."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy, "a transaction is still open"


class PostgresBackend:
    name = "postgresql"

    def __init__(self, database_url: str, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.database_url = database_url
        self.clock = FakeClock(DatabaseClock(connection))
        self._connection = connection
        self._open: list[Storage] = []

    @classmethod
    async def connect(cls, database_url: str) -> "PostgresBackend":
        return cls(database_url, await asyncpg.connect(database_url))

    def build(self, policy: SessionPolicy = POLICY) -> PostgresStorage:
        return PostgresStorage(self.database_url, policy, SeededRandomness(), clock_sql=CLOCK_SQL)

    async def open(self, policy: SessionPolicy = POLICY) -> Storage:
        storage = self.build(policy)
        await storage.open()
        self._open.append(storage)
        return storage

    async def close(self, storage: Storage) -> None:
        assert isinstance(storage, PostgresStorage)
        await assert_all_idle(storage)
        assert await self._open_transactions() == 0, "a transaction is still open"
        self.forget(storage)
        await storage.close()

    def forget(self, storage: Storage) -> None:
        self._open.remove(storage)

    async def close_all(self) -> None:
        for storage in tuple(self._open):
            await self.close(storage)
        await self._connection.close()

    async def _open_transactions(self) -> int:
        """Transactions in this database but the one that asks."""
        if self._connection.is_closed():  # a test has stopped the server meanwhile
            self._connection = await asyncpg.connect(self.database_url)
        count = await self._connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        )
        return int(count)


async def assert_all_idle(storage: PostgresStorage) -> None:
    """Every connection of the pool is back in it, or comes back at once (those of calls that were cancelled)."""
    pool = storage._pool
    assert pool is not None
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            while pool.get_size() > pool.get_idle_size():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{pool.get_size() - pool.get_idle_size()} connections are still checked out") from None
