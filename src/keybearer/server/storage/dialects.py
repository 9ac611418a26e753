"""From the SQL of the operations (PostgreSQL's, with two names of our own) to that of each database.

    clock_ms()                              the storage's clock
    binder_of(nonce, id, place, moved_at)   `credentials.refresh_token.make_binder`

SQLite has both as functions of its connections, needs no casts (it takes values as they are) and no row locks (it has
one writer), and calls the greater of two values `max`.
"""

import re
from functools import cache

POSTGRES_CLOCK = "(extract(epoch from clock_timestamp()) * 1000)::bigint"
_BINDER_CALL = re.compile(r"binder_of\(([^,()]+), ([^,()]+), ([^,()]+), ([^,()]+)\)")
_BINDER_SQL = r"substr(sha256(\1 || uuid_send(\2) || int8send(\3) || int8send(\4)), 1, 16)"

_FOR_SQLITE = (
    (re.compile(r"::\w+(\[\])?"), ""),
    (re.compile(r"\bFOR (NO KEY UPDATE|UPDATE|SHARE)( OF \w+(, \w+)*)?( SKIP LOCKED)?"), ""),
    (re.compile(r"\bGREATEST\("), "max("),
    (re.compile(r"\bLEAST\("), "min("),
    (re.compile(r"\$(\d+)"), r"?\1"),
)


@cache
def sqlite_sql(sql: str) -> str:
    """The text for SQLite."""
    for pattern, replacement in _FOR_SQLITE:
        sql = pattern.sub(replacement, sql)
    return sql


@cache
def postgres_sql(sql: str, clock: str) -> str:
    """The text for PostgreSQL; `clock` is the expression for the storage's clock."""
    return _BINDER_CALL.sub(_BINDER_SQL, sql).replace("clock_ms()", clock)
