"""Ways in which a database can be taken from a storage that works on it, and given back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from keybearer.server.storage import postgres, schema, sqlite
from tests.support.backends import POLICY, Backend, PostgresBackend, SqliteBackend
from tests.support.databases import create_clock
from tests.support.postgres import TemporaryServer
from tests.support.world import World

PATIENCE = 0.3
"""Seconds that the storages wait in these tests, in place of the seconds that they wait in service."""


@dataclass(frozen=True)
class Outage:
    """A world whose database `begin` takes away and `end` gives back."""

    world: World
    begin: Callable[[], None]
    end: Callable[[], None]


Stage = Callable[[Path], AbstractAsyncContextManager[Outage]]


@asynccontextmanager
async def locked_file(directory: Path) -> AsyncIterator[Outage]:
    """Another process has begun a transaction and does not end it."""
    path = directory / "keybearer.sqlite"
    schema.migrate(f"sqlite:///{path}")
    with (
        mock.patch.object(sqlite, "BUSY_TIMEOUT", round(PATIENCE * 1000)),
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        async with _world_on(SqliteBackend(path)) as world:
            yield Outage(world, lambda: _execute(other, "BEGIN IMMEDIATE"), lambda: _execute(other, "ROLLBACK"))


def _execute(connection: sqlite3.Connection, sql: str) -> None:
    connection.execute(sql)


@asynccontextmanager
async def stopped_server(directory: Path) -> AsyncIterator[Outage]:
    async with _own_server() as (server, world):
        yield Outage(world, server.stop, server.start)


@asynccontextmanager
async def frozen_server(directory: Path) -> AsyncIterator[Outage]:
    """The server takes connections and says nothing: as behind a network that swallows packets."""
    async with _own_server() as (server, world):
        yield Outage(world, server.freeze, server.thaw)


STAGES: dict[str, Stage] = {
    "locked file": locked_file,
    "stopped server": stopped_server,
    "frozen server": frozen_server,
}
"""All of them refuse changes. Reading a locked file goes on."""

STAGES_WITHOUT_READING = {name: stage for name, stage in STAGES.items() if stage is not locked_file}


@asynccontextmanager
async def _own_server() -> AsyncIterator[tuple[TemporaryServer, World]]:
    server = await asyncio.to_thread(TemporaryServer)
    try:
        await asyncio.to_thread(schema.migrate, server.url())
        await create_clock(server.url())
        with (
            mock.patch.object(postgres, "CONNECT_TIMEOUT", PATIENCE),
            mock.patch.object(postgres, "STATEMENT_TIMEOUT", PATIENCE),
        ):
            async with _world_on(await PostgresBackend.connect(server.url())) as world:
                yield server, world
    finally:
        server.close()


@asynccontextmanager
async def _world_on(backend: Backend) -> AsyncIterator[World]:
    yield World(backend, await backend.open(), POLICY)
    await backend.close_all()
