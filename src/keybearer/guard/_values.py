"""What goes into a guard and what comes out: credentials, requirements, the caller."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import msgspec

from keybearer.credentials.access_token import AccessToken
from keybearer.errors import PermissionDenied
from keybearer.guard._headers import API_KEY, AUTHORIZATION, ORIGIN, require_once

OnStale = Literal["reject", "accept", "introspect"]
"""What a guard does once it has lost sight of revocations for longer than it may: refuse with 503, accept until the
token's own end, or ask the service about each request."""

ON_STALE: Final = ("reject", "accept", "introspect")


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """The values of the headers that a request brings, None for one that is not there.

    A struct rather than a dataclass: one is made for every request.
    """

    api_key: str | None
    authorization: str | None
    origin: str | None = None

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[bytes, bytes]]) -> Self:
        """From the headers of an ASGI scope (names in lower case). Raises MalformedRequest for a repeated one."""
        found: dict[bytes, str] = {}
        for name, value in headers:
            if name in _RAW_NAMES:
                text = value.decode("latin-1")
                found[name] = f"{found[name]},{text}" if name in found else text
        return cls.from_values(*map(found.get, _RAW_NAMES))

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any]) -> Self:
        """From a WSGI environment (PEP 3333). Raises MalformedRequest for a repeated header."""
        return cls.from_values(*map(environ.get, _ENVIRON_NAMES))

    @classmethod
    def from_values(cls, api_key: str | None, authorization: str | None, origin: str | None) -> Self:
        """From joined values. Raises MalformedRequest for one that is of more than one header."""
        require_once(api_key, authorization, origin)
        return cls(api_key, authorization, origin)

    def __repr__(self) -> str:
        return "Credentials(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """A struct shows its members there too."""
        return []


_RAW_NAMES: Final = tuple(name.encode("ascii") for name in (API_KEY, AUTHORIZATION, ORIGIN))
_ENVIRON_NAMES: Final = tuple("HTTP_" + name.upper().replace("-", "_") for name in (API_KEY, AUTHORIZATION, ORIGIN))


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who calls: a user, through an application, in a session. `claims` is all that the access token says.

    `expires_at` is in seconds since the Unix epoch.
    """

    user_id: str
    application_id: str
    session_id: str
    roles: tuple[str, ...]
    scope: frozenset[str]
    claims: Mapping[str, object]
    expires_at: int

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        """Whom a verified token names."""
        return cls(
            token.user_id,
            token.application_id,
            token.session_id,
            token.roles,
            token.scope,
            token.claims,
            token.expires_at,
        )

    def __hash__(self) -> int:
        return hash((self.user_id, self.session_id, self.expires_at))

    def __repr__(self) -> str:
        return (
            f"Caller(user_id={self.user_id!r}, application_id={self.application_id!r}, session_id={self.session_id!r}, "
            f"roles={self.roles!r}, scope={set(self.scope)!r}, expires_at={self.expires_at})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a route asks of its callers: all of these roles, all of these scopes.

    `optional`: a request that brings an Api-Key and no `Authorization` header passes, without a caller. `on_stale`
    goes before the guard's own.
    """

    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    optional: bool = False
    on_stale: OnStale | None = None

    def __post_init__(self) -> None:
        for name in ("roles", "scopes"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise TypeError(f"{name} is a set of texts, not one text")
            object.__setattr__(self, name, frozenset(given))
        if self.on_stale is not None and self.on_stale not in ON_STALE:
            raise ValueError(f"on_stale is one of {', '.join(ON_STALE)}")

    def check(self, caller: Caller) -> None:
        """Raise PermissionDenied unless the caller has all of the roles and scopes."""
        if not self.roles.issubset(caller.roles):
            raise PermissionDenied("The user does not have the role that this requires.")
        if not self.scopes <= caller.scope:
            raise PermissionDenied("The access token does not have the scope that this requires.")


NOTHING: Final = Requirements()
"""Both credentials, and nothing beside them."""
