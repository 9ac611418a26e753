"""Api-Keys as they are kept: never the key itself, only its SHA-256."""

from dataclasses import dataclass
from uuid import UUID

from keybearer.credentials.api_key import ApiKeyKind
from keybearer.errors import PermissionDenied
from keybearer.guard.state import ApiKeyState


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`key_hash` is the SHA-256 of the key's text. `hint` is the first characters of it, for people who look for
    one."""

    id: UUID
    application_id: UUID
    kind: ApiKeyKind
    key_hash: bytes
    hint: str
    permissions: frozenset[str]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None


GUARD = "guard"
"""Lets a service read the feed."""

PERMISSIONS = frozenset({GUARD, "admin"})
"""What a secret key can be given. A key with a permission works at Keybearer only; guards refuse it from callers."""


def require_guard_key(key: ApiKeyState) -> None:
    """Raise PermissionDenied when a key may not read the feed."""
    if not key.secret or GUARD not in key.permissions:
        raise PermissionDenied("This takes a secret key with the permission guard.")
