"""The state of the tables on PostgreSQL (schema.py)."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from keybearer.server.storage.plan import Plan, TablesInUse
from keybearer.server.storage.postgres import CANNOT_CONNECT, unavailable
from keybearer.server.storage.primary import connect_to_primary

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

LOCK_TIMEOUT = 0.5
"""Seconds that a migration waits for a table in use. Whoever wants the table meanwhile waits behind the migration, so
that a dump of the database would stop the service."""

LOCK_PAUSE = 1.0
"""Seconds in which the others have the tables again, before the migration tries anew."""

LOCK_ATTEMPTS = 120

_LOCK = 0x6B657962656172  # of PostgreSQL's advisory locks, by any number that nobody else takes


async def read_revision(database_url: str) -> str | None:
    """The revision of the tables; None for an empty database. Raises StorageUnavailable."""
    connection = await _connect(database_url)
    try:
        return await _revision_over(connection)
    finally:
        await connection.close()


async def _revision_over(connection: "Connection") -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def apply(database_url: str, plan: Plan) -> None:
    """Do what the plan says, in one transaction and under a lock. Raises TablesInUse and StorageUnavailable."""
    connection = await _connect(database_url)
    try:
        for _ in range(LOCK_ATTEMPTS):
            with suppress(asyncpg.LockNotAvailableError):
                return await _apply_over(connection, plan)
            await asyncio.sleep(LOCK_PAUSE)
        raise TablesInUse
    finally:
        await connection.close()


async def _apply_over(connection: "Connection", plan: Plan) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'")
        for statement in plan(await _revision_over(connection)):
            await connection.execute(statement)


async def _connect(database_url: str) -> "Connection":
    try:
        return await connect_to_primary(database_url, timeout=10)
    except CANNOT_CONNECT as error:
        raise unavailable(error) from None  # its message may quote the URL
