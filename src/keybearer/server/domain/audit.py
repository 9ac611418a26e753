"""The audit trail: who did what, when, from where. Never a credential, never a name that somebody typed."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class AuditKind(StrEnum):
    LOGIN = "login"
    LOGIN_REFUSED = "login_refused"
    REFRESH = "refresh"
    REFRESH_ELSEWHERE = "refresh_elsewhere"
    REFRESH_REUSED = "refresh_reused"
    STATE_REGRESSED = "state_regressed"
    SESSION_REVOKED = "session_revoked"
    SESSIONS_REVOKED = "sessions_revoked"
    USER_CREATED = "user_created"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    PASSWORD_SET = "password_set"
    PASSWORD_REHASHED = "password_rehashed"
    ROLE_ADDED = "role_added"
    ROLE_REMOVED = "role_removed"
    APPLICATION_CREATED = "application_created"
    APPLICATION_DISABLED = "application_disabled"
    APPLICATION_ENABLED = "application_enabled"
    API_KEY_CREATED = "api_key_created"
    API_KEY_REVOKED = "api_key_revoked"
    SECRET_KEY_CREATED = "secret_key_created"
    SECRET_KEY_ACTIVATED = "secret_key_activated"
    SECRET_KEY_RETIRED = "secret_key_retired"
    EPOCH_BEGUN = "epoch_begun"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and from where: what the audit trail says of every change.

    `kind` is `client` (a request), `operator` (the command line) or `service` (the service itself).
    """

    kind: str
    address: str = ""
    agent: str = ""
    request_id: str = ""


SERVICE = Actor("service")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the trail; `detail` holds small, non-secret facts."""

    kind: AuditKind
    actor: Actor
    user_id: UUID | None = None
    application_id: UUID | None = None
    session_id: UUID | None = None
    detail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it is kept: `at` is the storage's time."""

    id: int
    at: int
    event: AuditEvent
