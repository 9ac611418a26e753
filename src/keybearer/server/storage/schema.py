"""The state of the tables, and how they are brought to the state that this release needs.

Alembic decides what is to be run and writes it as SQL; the storage's own drivers run it, all of it in one transaction
and under a lock, so that two processes that start at once migrate once. All functions block: they are for the command
line and the start of the service. A database is named by its URL, `sqlite:///path` or `postgresql://…`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg

from keybearer.errors import StorageUnavailable
from keybearer.server.storage.postgres import CANNOT_CONNECT, unavailable
from keybearer.server.storage.primary import connect_to_primary
from keybearer.server.storage.sqlite import connect, create_file

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")

REVISIONS = ("0001", "0002")
"""The revisions of migrations/versions, the oldest first; a test compares the two."""

HEAD = REVISIONS[-1]
"""The revision that this release needs."""

LOCK_TIMEOUT = 0.5
"""Seconds that a migration waits for a table in use. Whoever wants the table meanwhile waits behind the migration, so
that a dump of the database would stop the service."""

LOCK_PAUSE = 1.0
"""Seconds in which the others have the tables again, before the migration tries anew."""

LOCK_ATTEMPTS = 120

_LOCK = 0x6B657962656172  # of PostgreSQL's advisory locks, by any number that nobody else takes
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")

Plan = Callable[[str | None], Sequence[str]]
"""From the current revision to the statements that are to be run."""


class SchemaState(StrEnum):
    """How the tables stand to this release. `BEHIND` needs `migrate`; `AHEAD` was migrated by a newer release."""

    EMPTY = "empty"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead"


class TablesInUse(Exception):
    """Something reads a table for minutes. Nothing was migrated."""


def sqlite_path(database_url: str) -> Path | None:
    """The file of an SQLite URL; None for a PostgreSQL URL. Raises ValueError for any other."""
    if database_url.startswith(_SQLITE):
        return Path(database_url.removeprefix(_SQLITE))
    if database_url.startswith(_POSTGRES):
        return None
    raise ValueError("a database URL starts with sqlite:/// or postgresql://")


def current_revision(database_url: str) -> str | None:
    """The revision of the tables; None for an empty database."""
    path = sqlite_path(database_url)
    if path is None:
        return _run(_postgres_revision(database_url))
    if not path.exists():
        return None
    with _connected(path) as connection:
        return _sqlite_revision(connection)


def schema_state(database_url: str) -> SchemaState:
    """What the service checks before it serves."""
    current = current_revision(database_url)
    if current is None:
        return SchemaState.EMPTY
    if current == HEAD:
        return SchemaState.CURRENT
    return SchemaState.BEHIND if current in REVISIONS else SchemaState.AHEAD


def migrate(database_url: str, revision: str = HEAD) -> None:
    """Bring the tables up to `revision`, from whatever older one they have. Changes nothing when they have it.

    Raises TablesInUse when PostgreSQL does not lend a table.
    """
    _change("upgrade", database_url, revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the tables back to an older `revision` (`base`: none at all). For tests: data is lost."""
    _change("downgrade", database_url, revision)


def _change(direction: str, database_url: str, revision: str) -> None:
    from keybearer.server.storage.scripts import write_script  # noqa: PLC0415 - takes longer than all else at start

    dialect = "postgresql" if sqlite_path(database_url) is None else "sqlite"
    _apply(database_url, lambda current: write_script(direction, dialect, current, revision))


def _apply(database_url: str, plan: Plan) -> None:
    path = sqlite_path(database_url)
    if path is None:
        _run(_apply_to_postgres(database_url, plan))
    else:
        create_file(path)
        with _connected(path) as connection:
            _apply_to_sqlite(connection, plan)


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for the block. Whatever keeps the file from being read or written raises StorageUnavailable."""
    try:
        with closing(connect(path)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise StorageUnavailable(f"The database file cannot be used: {error}.") from error


def _sqlite_revision(connection: sqlite3.Connection) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _apply_to_sqlite(connection: sqlite3.Connection, plan: Plan) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in plan(_sqlite_revision(connection)):
            connection.execute(statement)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


async def _postgres_revision(database_url: str) -> str | None:
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


async def _apply_to_postgres(database_url: str, plan: Plan) -> None:
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


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end on a loop of its own, so that a caller inside a running loop may block on it too."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
