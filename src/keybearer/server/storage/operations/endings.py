"""Ending sessions, and raising a user's `ver`: steps that several operations share. Their callers hold the locks."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.domain.sessions import EndReason, SessionPolicy
from keybearer.server.storage.operations import log
from keybearer.server.storage.rows import uuid_of
from keybearer.server.storage.statements import Row, Statement, Steps

KEEP_NONE = UUID(int=0)

_END = "UPDATE session SET revoked_at = $2, revoked_reason = $3 WHERE id = $1"

# The rows are locked in the order of their ids first: an UPDATE takes its locks in any order.
_END_OF_USER = """
    WITH chosen AS MATERIALIZED (
        SELECT id FROM session WHERE user_id = $1 AND revoked_at IS NULL AND id <> $4 ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE session SET revoked_at = $2, revoked_reason = $3 WHERE id IN (SELECT id FROM chosen)
    RETURNING id, access_until, idle_until, absolute_until"""
_END_OLDEST_OF_USER = """
    WITH chosen AS MATERIALIZED (
        SELECT id FROM session
        WHERE id IN (
            SELECT id FROM session
            WHERE user_id = $1 AND revoked_at IS NULL AND idle_until > $2 AND absolute_until > $2 AND id <> $5
            ORDER BY created_at DESC, id DESC LIMIT 10000 OFFSET $4
        )
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE session SET revoked_at = $2, revoked_reason = $3
    WHERE revoked_at IS NULL AND id IN (SELECT id FROM chosen)
    RETURNING id, application_id, access_until"""
_END_OF_APPLICATION = """
    WITH chosen AS MATERIALIZED (
        SELECT id FROM session WHERE application_id = $1 AND revoked_at IS NULL ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE session SET revoked_at = $2, revoked_reason = $3 WHERE id IN (SELECT id FROM chosen)
    RETURNING idle_until, absolute_until, access_until"""

_ALIVE = """
    SELECT count(*) AS alive FROM session
    WHERE revoked_at IS NULL AND (access_until > $1 OR (idle_until > $1 AND absolute_until > $1))"""
_END_ALL = """
    WITH chosen AS MATERIALIZED (
        SELECT id FROM session WHERE revoked_at IS NULL ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE session SET revoked_at = $1, revoked_reason = $2 WHERE id IN (SELECT id FROM chosen)"""

# A refresh under way may have read the `ver` from before, and grant until a whole lifetime from now. It holds no lock
# on the user's row: the entry outlives its access token instead.
_ACCESS_UNTIL = """
    SELECT max(CASE
        WHEN s.revoked_at IS NULL AND s.idle_until > $2 AND s.absolute_until > $2
        THEN GREATEST(s.access_until, LEAST($2 - $2 % 1000 + COALESCE(a.access_token_lifetime, $3::bigint) * 1000,
                                            s.absolute_until))
        ELSE s.access_until
    END) AS access_until
    FROM session s JOIN application a ON a.id = s.application_id
    WHERE s.user_id = $1"""
_RAISE_VER = "UPDATE users SET ver = ver + 1 WHERE id = $1 RETURNING ver"


@dataclass(frozen=True, slots=True)
class LockedSession:
    """What ending a session needs of its row, which is locked; `now` is the storage's time."""

    id: UUID
    user_id: UUID
    application_id: UUID
    access_until: int
    now: int


def is_alive(row: Row, now: int) -> bool:
    """True when something is left to end: the session can still be refreshed, or has an access token that holds."""
    return bool(row["access_until"] > now or (row["idle_until"] > now and row["absolute_until"] > now))


def locked_session(row: Row) -> LockedSession:
    ids = (uuid_of(row["id"]), uuid_of(row["user_id"]), uuid_of(row["application_id"]))
    return LockedSession(*ids, row["access_until"], row["now"])


def end_one(session: LockedSession, reason: EndReason) -> Steps[log.NewEntry]:
    """End a session; its entry of the feed is for the caller to append."""
    yield Statement(_END, (session.id, session.now, reason.value))
    return log.session_entry(session.id, session.access_until)


def session_event(session: LockedSession, reason: EndReason, actor: Actor) -> AuditEvent:
    return AuditEvent(
        AuditKind.SESSION_REVOKED,
        actor,
        user_id=session.user_id,
        application_id=session.application_id,
        session_id=session.id,
        detail={"reason": reason.value},
    )


def end_of_user(user_id: UUID, now: int, reason: EndReason, keep: UUID = KEEP_NONE) -> Steps[Sequence[Row]]:
    """End the sessions of a user but `keep`: the rows of those that were alive."""
    rows = yield Statement(_END_OF_USER, (user_id, now, reason.value, keep))
    return [row for row in rows if is_alive(row, now)]


def end_oldest_of_user(user_id: UUID, now: int, beyond: int, keep: UUID) -> Steps[list[LockedSession]]:
    """End the user's sessions but `keep` and the newest of the others, `beyond` together."""
    rows = yield Statement(_END_OLDEST_OF_USER, (user_id, now, EndReason.TOO_MANY_SESSIONS.value, beyond - 1, keep))
    return [
        LockedSession(uuid_of(row["id"]), user_id, uuid_of(row["application_id"]), row["access_until"], now)
        for row in sorted(rows, key=lambda row: uuid_of(row["id"]))
    ]


def end_of_application(application_id: UUID, now: int) -> Steps[int]:
    """End the sessions of an application: how many were alive."""
    reason = EndReason.APPLICATION_DISABLED.value
    rows = yield Statement(_END_OF_APPLICATION, (application_id, now, reason))
    return sum(is_alive(row, now) for row in rows)


def end_all(now: int, reason: EndReason) -> Steps[int]:
    """End the sessions of everybody: how many were alive. There may be millions, so they are not read."""
    (row,) = yield Statement(_ALIVE, (now,))
    yield Statement(_END_ALL, (now, reason.value))
    alive: int = row["alive"]
    return alive


def raise_ver(user_id: UUID, now: int, policy: SessionPolicy) -> Steps[log.NewEntry]:
    """Raise the `ver` of a user; its entry of the feed is for the caller to append."""
    (user,) = yield Statement(_RAISE_VER, (user_id,))
    (bound,) = yield Statement(_ACCESS_UNTIL, (user_id, now, policy.access_token_lifetime))
    return log.user_entry(user_id, user["ver"], max(now, bound["access_until"] or 0))
