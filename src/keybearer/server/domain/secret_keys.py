"""Secret keys: what access tokens are signed and refresh tokens are derived with. Encrypted wherever they are kept.

A key is `next` (published, not used yet), then `active`, then `retired` (verifies what it made until that has ended).
"""

from dataclasses import dataclass
from enum import StrEnum

JWKS_MAX_AGE = 300
"""Seconds that a cache may keep the key set; a key is published for longer than that before its first use."""


class KeyPurpose(StrEnum):
    SIGNING = "signing"
    REFRESH_TOKEN = "refresh_token"


class KeyState(StrEnum):
    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """`id` is random, 32 bits: refresh tokens carry it; `kid` of a signing key is its JWK thumbprint (RFC 7638).

    `algorithm` is a JWS algorithm for signing keys, `HS256` for refresh-token keys. `encrypted` is the key (PKCS #8
    or 32 random bytes) as `KeyEncryption` sealed it; a public key is derived from it and kept nowhere.
    `usable_from`: when the key may be made active, so that every cache has seen it by then.
    """

    id: int
    purpose: KeyPurpose
    algorithm: str
    kid: str
    state: KeyState
    encrypted: bytes
    created_at: int
    usable_from: int
    activated_at: int | None = None
    retired_at: int | None = None
