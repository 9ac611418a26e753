"""Tables with as many rows as are wanted, written straight into the database: no service makes ten million in a minute.

The rows are what the service would have written: sessions that were refreshed with an Idempotency-Key, by an agent
with a name of the usual length, made evenly over the last thirty days by users who have ten each. Only their tokens
are nobody's.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from random import Random
from typing import Any
from uuid import UUID

import asyncpg

from keybearer.server.domain.ids import RANDOM_BYTES, uuid7
from keybearer.server.domain.sessions import SessionPolicy
from keybearer.server.flows.refresh import HASH_BYTES
from keybearer.server.storage.schema import sqlite_path

SESSIONS_OF_A_USER = 10

SPAN = 30 * 24 * 3600 * 1000
"""Milliseconds over which the sessions were made."""

_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_HOUR = 3600 * 1000

_USERS = ("id", "email", "phone", "first_name", "last_name", "roles", "status", "ver", "created_at")
_IDENTIFIERS = ("value", "user_id")
_PASSWORDS = ("user_id", "hash", "version", "changed_at")
_SESSIONS = (
    *("id", "user_id", "application_id", "place", "moved_at", "token_key_id", "created_at", "last_used_at"),
    *("idle_until", "absolute_until", "access_until", "nonce", "idempotency_hash", "first_address", "first_agent"),
)
_ENTRIES = ("position", "ver", "expires_at", "subject_id", "kind")

Row = tuple[Any, ...]


async def fill_users(database: str, count: int, password_hash: str, now: int) -> list[UUID]:
    """So many users; their ids."""
    random = Random(count)
    ids = [uuid7(now - SPAN, random.randbytes(RANDOM_BYTES)) for _ in range(count)]
    emails = [f"filled{number}@example.com" for number in range(count)]
    users = (
        (id, mail, None, "Filled", "User", "[]", "enabled", 1, now - SPAN) for id, mail in zip(ids, emails, strict=True)
    )
    await _insert(database, "users", _USERS, users)
    await _insert(database, "identifier", _IDENTIFIERS, zip(emails, ids, strict=True))
    await _insert(database, "password", _PASSWORDS, ((id, password_hash, 1, now - SPAN) for id in ids))
    return ids


async def fill_sessions(
    database: str, count: int, users: list[UUID], application_id: UUID, now: int, *, expired: int
) -> None:
    """So many sessions more; the oldest of them, `expired` in number, are past their limit."""
    await _insert(database, "session", _SESSIONS, _sessions(count, users, application_id, now, expired))


def _sessions(count: int, users: list[UUID], application_id: UUID, now: int, expired: int) -> Iterator[Row]:
    random, policy = Random(count), SessionPolicy()
    idle, absolute = policy.idle_lifetime * 1000, policy.absolute_lifetime * 1000
    for number in range(count):
        made = now - SPAN + SPAN * number // count
        limit = made + absolute if number >= expired else now - _HOUR
        yield (
            *(uuid7(made, random.randbytes(RANDOM_BYTES)), random.choice(users), application_id, 3, made, 1, made),
            *(made, min(made + idle, limit), limit, made + _HOUR, random.randbytes(16), random.randbytes(HASH_BYTES)),
            *(f"203.0.113.{number % 256}", _AGENT),
        )


async def fill_feed(database: str, count: int, now: int) -> None:
    """So many entries of ended sessions, which outlive the measurement."""
    random = Random(count)
    ((last,),) = await run_sql(database, "SELECT position FROM feed")
    entries = (
        (last + number, 0, now + _HOUR, uuid7(now, random.randbytes(RANDOM_BYTES)), "session")
        for number in range(1, count + 1)
    )
    await _insert(database, "revocation", _ENTRIES, entries)
    await run_sql(database, "UPDATE feed SET position = (SELECT max(position) FROM revocation)")


async def run_sql(database: str, *statements: str) -> list[Row]:
    """Perform the statements, each by itself; the rows of the last one."""
    path = sqlite_path(database)
    if path is not None:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            return [file.execute(statement).fetchall() for statement in statements][-1]
    connection = await asyncpg.connect(database)
    try:
        return [[tuple(row) for row in await connection.fetch(one, timeout=1800)] for one in statements][-1]
    finally:
        await connection.close()


async def _insert(database: str, table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
    path = sqlite_path(database)
    if path is None:
        connection = await asyncpg.connect(database)
        try:
            await connection.copy_records_to_table(table, records=rows, columns=columns, timeout=3600)
        finally:
            await connection.close()
        return
    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - ours
    converted = (tuple(value.bytes if isinstance(value, UUID) else value for value in row) for row in rows)
    with closing(sqlite3.connect(path)) as file, file:
        file.executemany(insert, converted)
