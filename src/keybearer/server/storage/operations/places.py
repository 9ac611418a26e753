"""The places from which a user has logged in: at most 20, for 90 days."""

from uuid import UUID

from keybearer.server.storage.statements import Statement, Steps

PLACES_PER_USER = 20
PLACE_LIFETIME_MS = 90 * 86400 * 1000

IS_KNOWN = f"k.seen_at > clock_ms() - {PLACE_LIFETIME_MS}"
"""Of a row `k` of a user's places."""

_REMEMBER = """
    INSERT INTO known_place (user_id, place_hash, seen_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id, place_hash) DO UPDATE SET seen_at = excluded.seen_at"""
_FORGET_OLDEST = """
    DELETE FROM known_place WHERE user_id = $1 AND place_hash IN (
        SELECT place_hash FROM known_place WHERE user_id = $1 ORDER BY seen_at DESC, place_hash LIMIT 10000 OFFSET $2
    )"""


def remember(user_id: UUID, place_hash: bytes, now: int) -> Steps[None]:
    """Note a place of the user, whose row is locked."""
    yield Statement(_REMEMBER, (user_id, place_hash, now))
    yield Statement(_FORGET_OLDEST, (user_id, PLACES_PER_USER))
