"""Keybearer: two credentials on every request, fast and revocable access tokens, sessions that are never lost.

What stands here is the public interface for verifying access tokens and for clients. It needs no server library. What
takes long to import is imported when its name is first used.
"""

import typing as _typing
from importlib import import_module as _import_module

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

if _typing.TYPE_CHECKING:
    from keybearer.client import AsyncClient, Client
    from keybearer.credentials.access_token import AccessToken, AccessTokenVerifier
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
    "AsyncClient",
    "Client",
    "KeySet",
    "KeybearerError",
    "__version__",
]

_LATE = {
    "AccessToken": "keybearer.credentials.access_token",
    "AccessTokenVerifier": "keybearer.credentials.access_token",
    "AsyncClient": "keybearer.client",
    "Client": "keybearer.client",
    "KeySet": "keybearer.jose.key_set",
}


def __getattr__(name: str) -> object:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(_import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
