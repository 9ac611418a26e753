"""Sessions: one login of one user in one application, one row for its whole life; and the outcomes of what is done
to them.

The chain of a session's refresh tokens is the pair (`place`, `moved_at`) of its row. Every token that was ever issued
can be derived from it (`keybearer.credentials.refresh_token`), so none is stored.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from keybearer.credentials.refresh_token import PresentedToken

MAX_SESSIONS_PER_USER = 100
"""A login beyond this number ends the user's oldest sessions."""


class EndReason(StrEnum):
    """Why a session was ended before its limit."""

    LOGOUT = "logout"
    LOGOUT_ALL = "logout_all"
    REUSE = "reuse"
    USER_DISABLED = "user_disabled"
    APPLICATION_DISABLED = "application_disabled"
    PASSWORD_CHANGED = "password_changed"
    ADMINISTRATOR = "administrator"
    TOO_MANY_SESSIONS = "too_many_sessions"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """The service's own lifetimes and retry window, in seconds. An application's `Lifetimes` go before it."""

    access_token_lifetime: int = 900
    refresh_retry_window: int = 60
    idle_lifetime: int = 30 * 86400
    absolute_lifetime: int = 90 * 86400


@dataclass(frozen=True, slots=True)
class Session:
    """`nonce` (16 random bytes) binds refresh tokens to this row; `token_key_id` names the refresh-token key of the
    last move.

    `idempotency_hash` is the first half of the SHA-256 of the Idempotency-Key of the last move. `access_until` is the
    latest `exp` of an access token issued in the session.
    """

    id: UUID
    user_id: UUID
    application_id: UUID
    place: int
    moved_at: int
    nonce: bytes
    token_key_id: int
    idempotency_hash: bytes | None
    created_at: int
    last_used_at: int
    idle_until: int
    absolute_until: int
    access_until: int
    first_address: str
    first_agent: str
    last_address: str
    last_agent: str
    revoked_at: int | None = None
    revoked_reason: EndReason | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its owner or an administrator sees it."""

    session: Session
    application_name: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """What log in asks the storage to insert, if the user, the application and the password are still as they were.

    `password_version` is the one whose hash was verified. `name_bucket` is the limiter bucket that a success resets;
    `place_hash` is the address prefix to remember as a known place of the user.
    """

    id: UUID
    user_id: UUID
    application_id: UUID
    password_version: int
    nonce: bytes
    token_key_id: int
    name_bucket: bytes
    place_hash: bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """What an access token is issued from: the session after the change, with the user as the same statement read it.

    `issued_at` and `expires_at` fix the token's `iat` and `exp`; both are whole seconds, in milliseconds.
    """

    session: Session
    email: str
    first_name: str
    last_name: str
    roles: tuple[str, ...]
    ver: int
    issued_at: int
    expires_at: int


class SessionRefused(StrEnum):
    """Why a login that had the right password gets no session."""

    USER_DISABLED = "user_disabled"
    APPLICATION_DISABLED = "application_disabled"
    PASSWORD_CHANGED = "password_changed"


@dataclass(frozen=True, slots=True)
class Presentation:
    """A refresh token that was presented: authentic (its MAC held), everything else still to be decided by its row.

    `next_token_key_id` is the active refresh-token key: what the next token is derived with if the chain moves.
    """

    token: PresentedToken
    application_id: UUID
    idempotency_hash: bytes | None
    next_token_key_id: int


@dataclass(frozen=True, slots=True)
class Moved:
    """The chain moved on: the row's token is new. `regressed`: the row was behind the token (a failover lost a
    commit)."""

    grant: Grant
    regressed: bool = False


@dataclass(frozen=True, slots=True)
class Repeated:
    """The chain stays: the row's token is the current one, and is answered again.

    `elsewhere`: the repeat came from another address or agent than the last use.
    """

    grant: Grant
    elsewhere: bool = False


class RefreshRefused(StrEnum):
    """Why a presented refresh token leads nowhere. `REUSED` has revoked the session in the same transaction."""

    UNKNOWN = "unknown"
    WRONG_APPLICATION = "wrong_application"
    REVOKED = "revoked"
    EXPIRED = "expired"
    REUSED = "reused"


RefreshOutcome = Moved | Repeated | RefreshRefused


@dataclass(frozen=True, slots=True)
class Ended:
    """Sessions were ended at `at`; `sessions` counts those that were alive, `session_id` is the one that asked."""

    session_id: UUID
    at: int
    sessions: int


class EndRefused(StrEnum):
    """Why nothing was ended. `NOT_CURRENT`: all devices can be asked for with the current refresh token only."""

    UNKNOWN = "unknown"
    WRONG_APPLICATION = "wrong_application"
    ALREADY_ENDED = "already_ended"
    EXPIRED = "expired"
    NOT_CURRENT = "not_current"
