"""The state of the tables, and how they are brought to the state that this release needs.

Alembic decides what is to be run and writes it as SQL; the storage's own drivers run it, all of it in one transaction
and under a lock, so that two processes that start at once migrate once. All functions block: they are for the command
line and the start of the service. A database is named by its URL, `sqlite:///path` or `postgresql://…`.
"""

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from keybearer.errors import StorageUnavailable
from keybearer.server.storage.plan import Plan
from keybearer.server.storage.sqlite import connect, create_file

T = TypeVar("T")

REVISIONS = ("0001", "0002")
"""The revisions of migrations/versions, the oldest first; a test compares the two."""

HEAD = REVISIONS[-1]
"""The revision that this release needs."""

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


class SchemaState(StrEnum):
    """How the tables stand to this release. `BEHIND` needs `migrate`; `AHEAD` was migrated by a newer release."""

    EMPTY = "empty"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead"


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
        from keybearer.server.storage.schema_postgres import read_revision  # noqa: PLC0415 - as in app.build_storage

        return _run(read_revision(database_url))
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
        from keybearer.server.storage.schema_postgres import apply  # noqa: PLC0415 - as in app.build_storage

        _run(apply(database_url, plan))
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


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end on a loop of its own, so that a caller inside a running loop may block on it too."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
