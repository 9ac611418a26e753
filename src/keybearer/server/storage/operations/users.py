"""Users, their names, passwords and roles."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.domain.sessions import EndReason, SessionPolicy
from keybearer.server.domain.users import LoginRecord, NewUser, User, UserStatus
from keybearer.server.ports import IdentifierTaken
from keybearer.server.storage.operations import endings, log, places, trail
from keybearer.server.storage.rows import USER, list_text, user, uuid_of
from keybearer.server.storage.statements import Access, Row, Statement, Steps, operation

_INSERT = """
    INSERT INTO users (id, email, phone, first_name, last_name, roles, status, ver, created_at)
    VALUES ($1, $2, $3, $4, $5, '[]', 'enabled', 1, clock_ms())
    RETURNING id, email, phone, first_name, last_name, roles, status, ver, created_at"""
_INSERT_IDENTIFIER = """
    INSERT INTO identifier (value, user_id) VALUES ($1, $2) ON CONFLICT (value) DO NOTHING RETURNING value"""
_TAKE_BACK_IDENTIFIERS = "DELETE FROM identifier WHERE user_id = $1"
_TAKE_BACK = "DELETE FROM users WHERE id = $1"
_SET_PASSWORD = """
    INSERT INTO password (user_id, hash, version, changed_at) VALUES ($1, $2, 1, $3)
    ON CONFLICT (user_id) DO UPDATE
    SET hash = excluded.hash, version = password.version + 1, changed_at = excluded.changed_at"""
_REPLACE_HASH = "UPDATE password SET hash = $3 WHERE user_id = $1 AND hash = $2 RETURNING clock_ms() AS now"

_FIND_FOR_LOGIN = f"""
    SELECT u.id, u.status, p.hash, p.version, EXISTS (
        SELECT 1 FROM known_place k
        WHERE k.user_id = u.id AND k.place_hash = $2 AND {places.IS_KNOWN}
    ) AS known_place
    FROM identifier i JOIN users u ON u.id = i.user_id JOIN password p ON p.user_id = u.id
    WHERE i.value = $1"""
_FIND = f"SELECT {USER} FROM users u WHERE u.id = $1"
_FIND_BY_IDENTIFIER = f"SELECT {USER} FROM identifier i JOIN users u ON u.id = i.user_id WHERE i.value = $1"
_LIST = f"SELECT {USER} FROM users u WHERE u.id > $1 ORDER BY u.id LIMIT $2"
_BEFORE_ALL_IDS = UUID(int=0)

_LOCK = f"SELECT {USER}, clock_ms() AS now FROM users u WHERE u.id = $1 FOR NO KEY UPDATE"
_SET_STATUS = "UPDATE users SET status = $2 WHERE id = $1"
_SET_ROLES = "UPDATE users SET roles = $2 WHERE id = $1"


@operation(Access.TRANSACTION)
def create(new: NewUser, actor: Actor) -> Steps[User | IdentifierTaken]:
    (row,) = yield Statement(_INSERT, (new.id, new.email, new.phone, new.first_name, new.last_name))
    for identifier in filter(None, (new.email, new.phone)):
        if not (yield Statement(_INSERT_IDENTIFIER, (identifier, new.id))):
            yield Statement(_TAKE_BACK_IDENTIFIERS, (new.id,))
            yield Statement(_TAKE_BACK, (new.id,))
            return IdentifierTaken(identifier)
    made = user(row)
    yield Statement(_SET_PASSWORD, (new.id, new.password_hash, made.created_at))
    yield from trail.write(made.created_at, AuditEvent(AuditKind.USER_CREATED, actor, user_id=new.id))
    return made


def can_be_stored(identifier: str) -> bool:
    """PostgreSQL's texts hold every character but this one, which anybody may type into a login."""
    return "\0" not in identifier


def find_for_login(identifier: str, place_hash: bytes) -> Steps[LoginRecord | None]:
    """The steps of `attempts.admit` that look the user up."""
    if not can_be_stored(identifier):
        return None
    rows = yield Statement(_FIND_FOR_LOGIN, (identifier, place_hash))
    return _login_record(rows[0]) if rows else None


def _login_record(row: Row) -> LoginRecord:
    return LoginRecord(
        user_id=uuid_of(row["id"]),
        status=UserStatus(row["status"]),
        password_hash=row["hash"],
        password_version=row["version"],
        known_place=bool(row["known_place"]),
    )


@operation(Access.READ)
def find(user_id: UUID) -> Steps[User | None]:
    rows = yield Statement(_FIND, (user_id,))
    return user(rows[0]) if rows else None


@operation(Access.READ)
def find_by_identifier(identifier: str) -> Steps[User | None]:
    if not can_be_stored(identifier):
        return None
    rows = yield Statement(_FIND_BY_IDENTIFIER, (identifier,))
    return user(rows[0]) if rows else None


@operation(Access.READ)
def list_users(limit: int, after: UUID | None) -> Steps[Sequence[User]]:
    rows = yield Statement(_LIST, (_BEFORE_ALL_IDS if after is None else after, limit))
    return [user(row) for row in rows]


@operation(Access.TRANSACTION)
def set_status(user_id: UUID, status: UserStatus, actor: Actor, policy: SessionPolicy) -> Steps[User | None]:
    rows = yield Statement(_LOCK, (user_id,))
    if not rows:
        return None
    if rows[0]["status"] == status:
        return user(rows[0])
    now: int = rows[0]["now"]
    yield Statement(_SET_STATUS, (user_id, status.value))
    if status is UserStatus.ENABLED:
        yield from trail.write(now, AuditEvent(AuditKind.USER_ENABLED, actor, user_id=user_id))
    else:
        event = AuditEvent(AuditKind.USER_DISABLED, actor, user_id=user_id)
        yield from _end_all(rows[0], EndReason.USER_DISABLED, event, policy)
    return (yield from _reread(user_id))


@operation(Access.TRANSACTION)
def set_password(user_id: UUID, password_hash: str, actor: Actor, policy: SessionPolicy) -> Steps[User | None]:
    rows = yield Statement(_LOCK, (user_id,))
    if not rows:
        return None
    now: int = rows[0]["now"]
    yield Statement(_SET_PASSWORD, (user_id, password_hash, now))
    event = AuditEvent(AuditKind.PASSWORD_SET, actor, user_id=user_id)
    yield from _end_all(rows[0], EndReason.PASSWORD_CHANGED, event, policy)
    return (yield from _reread(user_id))


def _end_all(user: Row, reason: EndReason, event: AuditEvent, policy: SessionPolicy) -> Steps[None]:
    """End all sessions of a user, whose row is locked, and raise its `ver`; `event` is the line of the trail."""
    user_id, now = uuid_of(user["id"]), user["now"]
    ended = yield from endings.end_of_user(user_id, now, reason)
    entry = yield from endings.raise_ver(user_id, now, policy)
    yield from trail.write(now, replace(event, detail={"sessions": str(len(ended))}))
    yield from log.append(entry)


def _reread(user_id: UUID) -> Steps[User]:
    (row,) = yield Statement(_FIND, (user_id,))
    return user(row)


@operation(Access.TRANSACTION)
def replace_password_hash(user_id: UUID, old_hash: str, new_hash: str, actor: Actor) -> Steps[bool]:
    rows = yield Statement(_REPLACE_HASH, (user_id, old_hash, new_hash))
    if not rows:
        return False
    yield from trail.write(rows[0]["now"], AuditEvent(AuditKind.PASSWORD_REHASHED, actor, user_id=user_id))
    return True


@operation(Access.TRANSACTION)
def set_roles(
    user_id: UUID, add: frozenset[str], remove: frozenset[str], actor: Actor, policy: SessionPolicy
) -> Steps[User | None]:
    rows = yield Statement(_LOCK, (user_id,))
    if not rows:
        return None
    before, now = user(rows[0]), rows[0]["now"]
    old, new = set(before.roles), (set(before.roles) | add) - remove
    if new == old:
        return before
    yield Statement(_SET_ROLES, (user_id, list_text(sorted(new))))
    entry = yield from endings.raise_ver(user_id, now, policy)
    added = [_role_event(AuditKind.ROLE_ADDED, role, user_id, actor) for role in sorted(new - old)]
    removed = [_role_event(AuditKind.ROLE_REMOVED, role, user_id, actor) for role in sorted(old - new)]
    yield from trail.write(now, *added, *removed)
    yield from log.append(entry)
    return (yield from _reread(user_id))


def _role_event(kind: AuditKind, role: str, user_id: UUID, actor: Actor) -> AuditEvent:
    return AuditEvent(kind, actor, user_id=user_id, detail={"role": role})
