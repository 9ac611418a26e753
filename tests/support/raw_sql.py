"""Statements on a test's database behind the storage's back, and what its tables look like."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from uuid import UUID

import asyncpg

from keybearer.server.storage.schema import sqlite_path


async def fetch(database_url: str, sql: str, *args: object) -> list[tuple[Any, ...]]:
    """Perform one statement (`$1` is the first of `args`) and commit; the rows that it answers."""
    path = sqlite_path(database_url)
    if path is not None:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            values = [arg.bytes if isinstance(arg, UUID) else arg for arg in args]
            return file.execute(sql.replace("$", "?"), values).fetchall()
    connection = await asyncpg.connect(database_url)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *args)]
    finally:
        await connection.close()


async def insert(database_url: str, table: str, values: dict[str, object]) -> None:
    columns = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await fetch(database_url, f"INSERT INTO {table} ({columns}) VALUES ({places})", *values.values())


async def tables(database_url: str) -> list[str]:
    """The names of all tables but Alembic's own."""
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if sqlite_path(database_url) is not None
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    return sorted(name for (name,) in await fetch(database_url, sql) if name != "alembic_version")


async def describe(database_url: str) -> Sequence[object]:
    """Everything that makes up the schema: tables, columns, keys, indexes and conditions, in a form to compare."""
    if sqlite_path(database_url) is not None:
        described: list[object] = list(
            await fetch(database_url, "SELECT type, name, tbl_name FROM sqlite_master ORDER BY 2")
        )
        for table in await tables(database_url):
            for pragma in ("table_xinfo", "foreign_key_list", "index_list"):
                described += [
                    (table, pragma, row) for row in sorted(await fetch(database_url, f"PRAGMA {pragma}({table})"))
                ]
        described += await fetch(database_url, "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY 1")
        return described
    return [await fetch(database_url, sql) for sql in _POSTGRES_SCHEMA]


_POSTGRES_SCHEMA = (
    """SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
       FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
       WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    """SELECT relname, reloptions::text FROM pg_class
       WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i', 'S') AND relname <> 'test_clock'
       ORDER BY 1""",
)
