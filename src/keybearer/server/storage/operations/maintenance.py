"""Removing what is worth nothing any more, in small batches, each in a transaction of its own.

Rows that somebody holds are left for the next time.
"""

from keybearer.server.storage.operations.places import PLACE_LIFETIME_MS
from keybearer.server.storage.statements import Access, Statement, Steps, operation

# Touches the feed's row, so that a database that answers without being able to read its file is not taken for healthy.
_NOW = "SELECT clock_ms() AS now, position FROM feed"

_SESSIONS_PAST_THEIR_LIMIT = """
    DELETE FROM session WHERE id IN (
        SELECT id FROM session WHERE absolute_until / 3600000 <= $1::bigint / 3600000 AND absolute_until <= $1
        ORDER BY absolute_until / 3600000 LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING id"""
_SESSIONS_ENDED = """
    DELETE FROM session WHERE id IN (
        SELECT id FROM session WHERE revoked_at IS NOT NULL AND access_until <= $1
        ORDER BY revoked_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING id"""
_ENTRIES = """
    DELETE FROM revocation WHERE position IN (
        SELECT position FROM revocation WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING position"""
_RAISE_FLOOR = "UPDATE feed SET floor = GREATEST(floor, $1)"
_ATTEMPTS = """
    DELETE FROM attempt WHERE key IN (
        SELECT key FROM attempt WHERE full_at <= clock_ms() LIMIT $1 FOR UPDATE SKIP LOCKED
    ) RETURNING 1 AS removed"""
_KNOWN_PLACES = f"""
    DELETE FROM known_place WHERE (user_id, place_hash) IN (
        SELECT user_id, place_hash FROM known_place WHERE seen_at <= $1 - {PLACE_LIFETIME_MS}
        ORDER BY seen_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING 1 AS removed"""
# The oldest are looked at only: ids rise with time, and there is no index on the time.
_AUDIT_EVENTS = """
    DELETE FROM audit_event WHERE id IN (
        SELECT id FROM (SELECT id, at FROM audit_event ORDER BY id LIMIT $2) oldest WHERE at < $1
    ) RETURNING id"""


@operation(Access.READ)
def now() -> Steps[int]:
    (row,) = yield Statement(_NOW)
    time: int = row["now"]
    return time


@operation(Access.SINGLE)
def remove_sessions(now: int, limit: int) -> Steps[int]:
    expired = yield Statement(_SESSIONS_PAST_THEIR_LIMIT, (now, limit))
    ended = yield Statement(_SESSIONS_ENDED, (now, limit - len(expired)))
    return len(expired) + len(ended)


@operation(Access.TRANSACTION)
def remove_entries(now: int, limit: int) -> Steps[int]:
    rows = yield Statement(_ENTRIES, (now, limit))
    if rows:
        yield Statement(_RAISE_FLOOR, (max(row["position"] for row in rows),))
    return len(rows)


@operation(Access.SINGLE)
def remove_attempts(limit: int) -> Steps[int]:
    return len((yield Statement(_ATTEMPTS, (limit,))))


@operation(Access.SINGLE)
def remove_known_places(now: int, limit: int) -> Steps[int]:
    return len((yield Statement(_KNOWN_PLACES, (now, limit))))


@operation(Access.SINGLE)
def remove_audit_events(before: int, limit: int) -> Steps[int]:
    return len((yield Statement(_AUDIT_EVENTS, (before, limit))))
