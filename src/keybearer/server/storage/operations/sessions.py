"""Making, ending and listing sessions. Refreshing has a file of its own."""

from collections.abc import Sequence
from uuid import UUID

from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.domain.sessions import (
    MAX_SESSIONS_PER_USER,
    Ended,
    EndReason,
    EndRefused,
    Grant,
    NewSession,
    Presentation,
    Session,
    SessionPolicy,
    SessionRefused,
    SessionView,
)
from keybearer.server.domain.users import UserStatus
from keybearer.server.storage.operations import endings, log, places, trail
from keybearer.server.storage.rows import GRANTED_USER, SESSION, grant, session, uuid_of
from keybearer.server.storage.statements import Access, Row, Statement, Steps, operation

_ADMIT = f"""
    SELECT {GRANTED_USER}, u.status, p.version, a.disabled_at, a.access_token_lifetime, a.session_idle_lifetime,
           a.session_absolute_lifetime, clock_ms() AS now
    FROM users u JOIN password p ON p.user_id = u.id JOIN application a ON a.id = $2
    WHERE u.id = $1
    FOR NO KEY UPDATE OF u FOR SHARE OF p, a"""
_INSERT = """
    INSERT INTO session (id, user_id, application_id, place, moved_at, nonce, token_key_id, created_at, last_used_at,
                         idle_until, absolute_until, access_until, first_address, first_agent)
    VALUES ($1, $2, $3, 0, $4, $5, $6, $4, $4, $7, $8, $9, $10, $11)"""
_RESET_BUCKET = "DELETE FROM attempt WHERE key = $1"

_LOCK = """
    SELECT s.id, s.user_id, s.application_id, s.place, s.moved_at, s.revoked_at, s.access_until, s.idle_until,
           s.absolute_until, clock_ms() AS now
    FROM session s WHERE s.id = $1 FOR NO KEY UPDATE"""
_LOCK_PRESENTED = """
    SELECT s.id, s.user_id, s.application_id, s.place, s.moved_at, s.revoked_at, s.access_until, s.idle_until,
           s.absolute_until, clock_ms() AS now
    FROM session s WHERE s.id = $1 AND binder_of(s.nonce, s.id, $2::bigint, $3::bigint) = $4
    FOR NO KEY UPDATE"""
_LOCK_USER_OF_SESSION = """
    SELECT u.id FROM users u JOIN session s ON s.user_id = u.id WHERE s.id = $1 FOR NO KEY UPDATE OF u"""
_LOCK_USER = "SELECT u.id, clock_ms() AS now FROM users u WHERE u.id = $1 FOR NO KEY UPDATE"
_NOW = "SELECT clock_ms() AS now"

_FIND = f"SELECT {SESSION} FROM session s WHERE s.id = $1"
_LIST_ALIVE = f"""
    WITH clock AS MATERIALIZED (SELECT clock_ms() AS now)
    SELECT {SESSION}, a.name AS application_name
    FROM clock, session s JOIN application a ON a.id = s.application_id
    WHERE s.revoked_at IS NULL AND s.idle_until > clock.now AND s.absolute_until > clock.now"""
_LIST_ALIVE_OF_USER = f"{_LIST_ALIVE} AND s.user_id = $2 ORDER BY s.created_at DESC, s.id DESC LIMIT $1"
# By the ids, which come from the clocks of several processes: nearly the same order, and there is an index for it.
_LIST_ALIVE_OF_ALL = f"{_LIST_ALIVE} ORDER BY s.id DESC LIMIT $1"


@operation(Access.TRANSACTION)
def create(new: NewSession, actor: Actor, policy: SessionPolicy) -> Steps[Grant | SessionRefused]:
    rows = yield Statement(_ADMIT, (new.user_id, new.application_id))
    if not rows or rows[0]["status"] != UserStatus.ENABLED:
        return SessionRefused.USER_DISABLED
    (row,) = rows
    if row["disabled_at"] is not None:
        return SessionRefused.APPLICATION_DISABLED
    if row["version"] != new.password_version:
        return SessionRefused.PASSWORD_CHANGED
    now = row["now"]
    made, issued_at = _new_session(new, actor, policy, row), now - now % 1000
    yield Statement(
        _INSERT,
        (
            *(made.id, made.user_id, made.application_id, made.moved_at, made.nonce, made.token_key_id),
            *(made.idle_until, made.absolute_until, made.access_until, made.first_address, made.first_agent),
        ),
    )
    ended = yield from endings.end_oldest_of_user(new.user_id, now, MAX_SESSIONS_PER_USER, new.id)
    yield Statement(_RESET_BUCKET, (new.name_bucket,))
    yield from places.remember(new.user_id, new.place_hash, now)
    login = AuditEvent(AuditKind.LOGIN, actor, new.user_id, new.application_id, new.id)
    too_many = [endings.session_event(session, EndReason.TOO_MANY_SESSIONS, actor) for session in ended]
    yield from trail.write(now, login, *too_many)
    yield from log.append(*(log.session_entry(session.id, session.access_until) for session in ended))
    return grant(row, made, issued_at, made.access_until)


def _new_session(new: NewSession, actor: Actor, policy: SessionPolicy, row: Row) -> Session:
    """The session as it begins; `row` has the application's lifetimes and the storage's time."""
    now = row["now"]
    # A whole second, as `exp` is (RFC 7519 section 2): so that no token is issued that is good for less than a moment.
    absolute_until = now - now % 1000 + 1000 * _first(row["session_absolute_lifetime"], policy.absolute_lifetime)
    idle_until = now + 1000 * _first(row["session_idle_lifetime"], policy.idle_lifetime)
    expires_at = now - now % 1000 + 1000 * _first(row["access_token_lifetime"], policy.access_token_lifetime)
    return Session(
        id=new.id,
        user_id=new.user_id,
        application_id=new.application_id,
        place=0,
        moved_at=now,
        nonce=new.nonce,
        token_key_id=new.token_key_id,
        idempotency_hash=None,
        created_at=now,
        last_used_at=now,
        idle_until=min(idle_until, absolute_until),
        absolute_until=absolute_until,
        access_until=min(expires_at, absolute_until),
        first_address=actor.address,
        first_agent=actor.agent,
        last_address=actor.address,
        last_agent=actor.agent,
    )


def _first(own: int | None, otherwise: int) -> int:
    return otherwise if own is None else own


@operation(Access.TRANSACTION)
def end(session_id: UUID, reason: EndReason, actor: Actor) -> Steps[Ended | EndRefused]:
    rows = yield Statement(_LOCK, (session_id,))
    if not rows:
        return EndRefused.UNKNOWN
    return (yield from _end_locked(rows[0], reason, actor))


@operation(Access.TRANSACTION)
def end_owned(user_id: UUID, session_id: UUID, actor: Actor) -> Steps[Ended | EndRefused]:
    rows = yield Statement(_LOCK, (session_id,))
    if not rows or uuid_of(rows[0]["user_id"]) != user_id:
        return EndRefused.UNKNOWN
    return (yield from _end_locked(rows[0], EndReason.LOGOUT, actor))


@operation(Access.TRANSACTION)
def end_presented(
    presentation: Presentation, actor: Actor, policy: SessionPolicy, all_devices: bool
) -> Steps[Ended | EndRefused]:
    token = presentation.token
    if all_devices:
        yield Statement(_LOCK_USER_OF_SESSION, (token.session_id,))
    rows = yield Statement(_LOCK_PRESENTED, (token.session_id, token.place, token.moved_at, token.binder))
    if not rows:
        return EndRefused.UNKNOWN
    (row,) = rows
    if uuid_of(row["application_id"]) != presentation.application_id:
        return EndRefused.WRONG_APPLICATION
    if not all_devices:
        return (yield from _end_locked(row, EndReason.LOGOUT, actor))
    if (refused := _nothing_to_end(row)) is not None:
        return refused
    # A place ahead of the row is current too: a failover has lost the commit of the move.
    if token.place < row["place"] or (token.place == row["place"] and token.moved_at != row["moved_at"]):
        return EndRefused.NOT_CURRENT
    user_id, now = uuid_of(row["user_id"]), row["now"]
    count = yield from _end_all(user_id, now, EndReason.LOGOUT_ALL, actor, policy)
    return Ended(token.session_id, now, count)


def _nothing_to_end(row: Row) -> EndRefused | None:
    if row["revoked_at"] is not None:
        return EndRefused.ALREADY_ENDED
    return None if endings.is_alive(row, row["now"]) else EndRefused.EXPIRED


def _end_locked(row: Row, reason: EndReason, actor: Actor) -> Steps[Ended | EndRefused]:
    if (refused := _nothing_to_end(row)) is not None:
        return refused
    locked = endings.locked_session(row)
    entry = yield from endings.end_one(locked, reason)
    yield from trail.write(locked.now, endings.session_event(locked, reason, actor))
    yield from log.append(entry)
    return Ended(locked.id, locked.now, 1)


@operation(Access.TRANSACTION)
def end_all(
    user_id: UUID, reason: EndReason, actor: Actor, policy: SessionPolicy, keep: UUID | None
) -> Steps[tuple[int, int]]:
    rows = yield Statement(_LOCK_USER, (user_id,))
    if not rows:
        (clock,) = yield Statement(_NOW)
        return 0, clock["now"]
    now: int = rows[0]["now"]
    if keep is None:
        count = yield from _end_all(user_id, now, reason, actor, policy)
        return count, now
    ended = yield from endings.end_of_user(user_id, now, reason, keep)
    if ended:
        yield from trail.write(now, _sessions_event(user_id, reason, actor, len(ended)))
    yield from log.append(*(log.session_entry(uuid_of(row["id"]), row["access_until"]) for row in ended))
    return len(ended), now


def _end_all(user_id: UUID, now: int, reason: EndReason, actor: Actor, policy: SessionPolicy) -> Steps[int]:
    """End all sessions of a user whose row is locked, and raise its `ver`: how many were alive."""
    ended = yield from endings.end_of_user(user_id, now, reason)
    entry = yield from endings.raise_ver(user_id, now, policy)
    yield from trail.write(now, _sessions_event(user_id, reason, actor, len(ended)))
    yield from log.append(entry)
    return len(ended)


def _sessions_event(user_id: UUID, reason: EndReason, actor: Actor, count: int) -> AuditEvent:
    detail = {"reason": reason.value, "sessions": str(count)}
    return AuditEvent(AuditKind.SESSIONS_REVOKED, actor, user_id=user_id, detail=detail)


@operation(Access.READ)
def find(session_id: UUID) -> Steps[Session | None]:
    rows = yield Statement(_FIND, (session_id,))
    return session(rows[0]) if rows else None


@operation(Access.READ)
def list_alive(user_id: UUID | None, limit: int) -> Steps[Sequence[SessionView]]:
    if user_id is None:
        rows = yield Statement(_LIST_ALIVE_OF_ALL, (limit,))
    else:
        rows = yield Statement(_LIST_ALIVE_OF_USER, (limit, user_id))
    return [SessionView(session(row), row["application_name"]) for row in rows]
