"""Rows to values of the domain.

Ids arrive as UUIDs from PostgreSQL and as 16 bytes from SQLite; lists are stored as JSON text.
"""

import json
from collections.abc import Iterable
from uuid import UUID

from keybearer.credentials.api_key import ApiKeyKind
from keybearer.guard.state import ApiKeyState, ApplicationState
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.applications import Application, ApplicationKind, Lifetimes
from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind, RecordedEvent
from keybearer.server.domain.secret_keys import KeyPurpose, KeyState, SecretKey
from keybearer.server.domain.sessions import EndReason, Grant, Session
from keybearer.server.domain.users import User, UserStatus
from keybearer.server.storage.statements import Row


def uuid_of(value: UUID | bytes) -> UUID:
    """asyncpg's own subclass is not passed on: what leaves the storage is the standard library's."""
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(int=value.int)


def _optional_uuid(value: UUID | bytes | None) -> UUID | None:
    return None if value is None else uuid_of(value)


def list_text(values: Iterable[str]) -> str:
    """How a list of texts is stored."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


SESSION = """s.id, s.user_id, s.application_id, s.place, s.moved_at, s.nonce, s.token_key_id, s.idempotency_hash,
    s.created_at, s.last_used_at, s.idle_until, s.absolute_until, s.access_until, s.first_address, s.first_agent,
    COALESCE(s.last_address, s.first_address) AS last_address, COALESCE(s.last_agent, s.first_agent) AS last_agent,
    s.revoked_at, s.revoked_reason"""
"""The columns of a session. The last address and agent are stored only where they differ from the first."""


def session(row: Row) -> Session:
    reason = row["revoked_reason"]
    return Session(
        id=uuid_of(row["id"]),
        user_id=uuid_of(row["user_id"]),
        application_id=uuid_of(row["application_id"]),
        place=row["place"],
        moved_at=row["moved_at"],
        nonce=row["nonce"],
        token_key_id=row["token_key_id"],
        idempotency_hash=row["idempotency_hash"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        idle_until=row["idle_until"],
        absolute_until=row["absolute_until"],
        access_until=row["access_until"],
        first_address=row["first_address"],
        first_agent=row["first_agent"],
        last_address=row["last_address"],
        last_agent=row["last_agent"],
        revoked_at=row["revoked_at"],
        revoked_reason=None if reason is None else EndReason(reason),
    )


GRANTED_USER = "u.email, u.first_name, u.last_name, u.roles, u.ver"


def grant(row: Row, of: Session, issued_at: int, expires_at: int) -> Grant:
    """A grant for the session `of`; the row has the columns `GRANTED_USER`."""
    return Grant(
        session=of,
        email=row["email"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        roles=tuple(json.loads(row["roles"])),
        ver=row["ver"],
        issued_at=issued_at,
        expires_at=expires_at,
    )


USER = "u.id, u.email, u.phone, u.first_name, u.last_name, u.roles, u.status, u.ver, u.created_at"


def user(row: Row) -> User:
    return User(
        id=uuid_of(row["id"]),
        email=row["email"],
        phone=row["phone"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        roles=tuple(json.loads(row["roles"])),
        status=UserStatus(row["status"]),
        ver=row["ver"],
        created_at=row["created_at"],
    )


APPLICATION = """a.id, a.name, a.kind, a.origins, a.created_at, a.disabled_at,
    a.access_token_lifetime, a.session_idle_lifetime, a.session_absolute_lifetime"""


def application(row: Row) -> Application:
    return Application(
        id=uuid_of(row["id"]),
        name=row["name"],
        kind=ApplicationKind(row["kind"]),
        origins=tuple(json.loads(row["origins"])),
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        lifetimes=Lifetimes(
            access_token=row["access_token_lifetime"],
            session_idle=row["session_idle_lifetime"],
            session_absolute=row["session_absolute_lifetime"],
        ),
    )


API_KEY = """k.id, k.application_id, k.kind, k.key_hash, k.hint, k.permissions, k.created_at, k.expires_at,
    k.revoked_at, k.last_used_at"""


def api_key(row: Row) -> ApiKey:
    return ApiKey(
        id=uuid_of(row["id"]),
        application_id=uuid_of(row["application_id"]),
        kind=ApiKeyKind(row["kind"]),
        key_hash=row["key_hash"],
        hint=row["hint"],
        permissions=frozenset(json.loads(row["permissions"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )


APPLICATION_STATE = "a.name, a.disabled_at, a.origins"
"""What the feed says of an application, beside its id."""


def application_state(row: Row, application_id: UUID | bytes) -> ApplicationState:
    return ApplicationState(
        id=str(uuid_of(application_id)),
        name=row["name"],
        enabled=row["disabled_at"] is None,
        origins=frozenset(json.loads(row["origins"])),
    )


KEY_STATE = """k.application_id AS key_application_id, k.kind AS key_kind, k.key_hash, k.permissions AS key_permissions,
    k.expires_at AS key_expires_at, k.revoked_at AS key_revoked_at"""
"""What the feed says of an Api-Key, beside its id."""


def key_state(row: Row, key_id: UUID | bytes) -> ApiKeyState:
    return ApiKeyState(
        id=str(uuid_of(key_id)),
        key_hash=row["key_hash"],
        secret=row["key_kind"] == ApiKeyKind.SECRET,
        application_id=str(uuid_of(row["key_application_id"])),
        revoked=row["key_revoked_at"] is not None,
        expires_at=row["key_expires_at"],
        permissions=frozenset(json.loads(row["key_permissions"])),
    )


def secret_key(row: Row) -> SecretKey:
    return SecretKey(
        id=row["id"],
        purpose=KeyPurpose(row["purpose"]),
        algorithm=row["algorithm"],
        kid=row["kid"],
        state=KeyState(row["state"]),
        encrypted=row["encrypted"],
        created_at=row["created_at"],
        usable_from=row["usable_from"],
        activated_at=row["activated_at"],
        retired_at=row["retired_at"],
    )


def recorded_event(row: Row) -> RecordedEvent:
    event = AuditEvent(
        kind=AuditKind(row["kind"]),
        actor=Actor(row["actor_kind"], row["address"], row["agent"], row["request_id"]),
        user_id=_optional_uuid(row["user_id"]),
        application_id=_optional_uuid(row["application_id"]),
        session_id=_optional_uuid(row["session_id"]),
        detail=json.loads(row["detail"]),
    )
    return RecordedEvent(id=row["id"], at=row["at"], event=event)
