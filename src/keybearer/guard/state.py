"""What the credential feed says: applications, keys, and what was revoked. Values only.

Instants are milliseconds since the Unix epoch, ids are the canonical text of a UUID: what tokens and the feed carry.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApplicationState:
    id: str
    name: str
    enabled: bool
    origins: frozenset[str]


@dataclass(frozen=True, slots=True)
class ApiKeyState:
    """`key_hash` is the SHA-256 of the key's text."""

    id: str
    key_hash: bytes
    secret: bool
    application_id: str
    revoked: bool
    expires_at: int | None
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class RevokedSession:
    """Every access token of the session is refused; none is left after `expires_at`."""

    id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class RevokedUser:
    """Access tokens of the user with a `ver` below this one are refused; none is left after `expires_at`."""

    id: str
    ver: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class KeySetChanged:
    """The key set has reached this version: keys must be read again."""

    version: int


Entry = ApplicationState | ApiKeyState | RevokedSession | RevokedUser | KeySetChanged
"""One change of the feed. Applying an entry twice, or late, does no harm."""
