"""Keybearer: two credentials on every request, fast and revocable access tokens, sessions that are never lost.

What stands here is the public interface for verifying access tokens. It needs no server library.
"""

from keybearer.credentials.access_token import AccessToken, AccessTokenVerifier
from keybearer.errors import (
    AccessTokenCorrupted,
    AccessTokenError,
    AccessTokenExpired,
    AccessTokenInvalid,
    AccessTokenMissing,
    AccessTokenRevoked,
    AccessTokenWrongApplication,
    KeybearerError,
)
from keybearer.jose.key_set import KeySet

__version__ = "0.1.0"

__all__ = [
    "AccessToken",
    "AccessTokenCorrupted",
    "AccessTokenError",
    "AccessTokenExpired",
    "AccessTokenInvalid",
    "AccessTokenMissing",
    "AccessTokenRevoked",
    "AccessTokenVerifier",
    "AccessTokenWrongApplication",
    "KeySet",
    "KeybearerError",
    "__version__",
]
