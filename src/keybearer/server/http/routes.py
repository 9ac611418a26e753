"""The URL table: every operation, what it needs and what it can answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from keybearer import errors
from keybearer.errors import KeybearerError
from keybearer.server.http.answer import Answer
from keybearer.server.http.call import AtOnce, Call, Handler
from keybearer.server.http.feed import CredentialFeed
from keybearer.server.http.public import Public
from keybearer.server.http.sessions import Sessions
from keybearer.server.http.tokens import Tokens
from keybearer.server.http.users import Users
from keybearer.server.http.verify import METHOD_HEADER, Verify
from keybearer.wire.documents import (
    Document,
    Health,
    ListDocument,
    LoginRequest,
    OwnSessionAttributes,
    RefreshRequest,
    RevocationAttributes,
    RevokeRequest,
    SessionAttributes,
    TokenAttributes,
    UserAttributes,
)
from keybearer.wire.feed import CONTENT_TYPE, Snapshot


class Needs(Enum):
    """The credentials of an operation. `KEY_AND_ANY_TOKEN`: an access token, or a refresh token in the body. `CALLER`:
    key and token of a request to another service. `GUARD_KEY`: a secret key with the permission `guard`."""

    NOTHING = "nothing"
    KEY = "key"
    KEY_AND_TOKEN = "key and token"
    KEY_AND_ANY_TOKEN = "key and any token"
    CALLER = "a caller's key and token"
    GUARD_KEY = "a guard's key"


class Forwarded(Protocol):
    """What an operation that proxies ask does otherwise than the rest. It takes every method and every path below its
    own: some proxies ask with those of the request that they hold."""

    def admit(self, call: Call) -> Answer | None:
        """The answer to a request that needs no credentials."""

    def refuse(self, error: KeybearerError, answer: Answer) -> Answer:
        """The answer to a refused one, from the answer of every other operation."""


Codes = tuple[type[KeybearerError], ...]

ALWAYS: Codes = (errors.MethodNotAllowed, errors.MalformedRequest, errors.BodyTooLarge, errors.InternalError)
KEY_CODES: Codes = (
    errors.ApiKeyMissing,
    errors.ApiKeyInvalid,
    errors.ApiKeyRevoked,
    errors.ApiKeyExpired,
    errors.ApplicationDisabled,
    errors.OriginNotAllowed,
    errors.StorageUnavailable,
)
TOKEN_CODES: Codes = (
    errors.AccessTokenMissing,
    errors.AccessTokenCorrupted,
    errors.AccessTokenInvalid,
    errors.AccessTokenExpired,
    errors.AccessTokenRevoked,
    errors.AccessTokenWrongApplication,
)
BODY_CODES: Codes = (errors.UnsupportedMediaType, errors.MalformedJson, errors.ValidationFailed)
LOGIN_CODES: Codes = (
    errors.InvalidCredentials,
    errors.AccountDisabled,
    errors.TooManyAttempts,
    errors.Overloaded,
)
REFRESH_CODES: Codes = (
    errors.RefreshTokenCorrupted,
    errors.RefreshTokenInvalid,
    errors.RefreshTokenExpired,
    errors.RefreshTokenReused,
    errors.RefreshTokenWrongApplication,
    errors.SessionRevoked,
)
REVOKE_CODES: Codes = tuple(code for code in REFRESH_CODES if code is not errors.RefreshTokenReused)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. A path that ends in `{id}` has one variable part; `body` is the struct of the request's body.

    `body_optional`: an empty body is no body. `answer` is the struct of a success, None for 204; `media_type` is that
    of a success. `query` are flags, `texts` the other parameters of the query.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler | AtOnce
    needs: Needs
    codes: Codes
    answer: Any
    body: type[Any] | None = None
    body_optional: bool = False
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    media_type: str = "application/json"
    forwarded: Forwarded | None = None

    def all_codes(self) -> Codes:
        """Every code that the operation can answer, in the order of checks."""
        codes = ALWAYS
        if self.needs is not Needs.NOTHING:
            codes += KEY_CODES
        if self.needs is Needs.GUARD_KEY:
            codes += (errors.PermissionDenied,)
        elif self.needs not in (Needs.NOTHING, Needs.KEY):
            codes += TOKEN_CODES
        return codes + (BODY_CODES if self.body else ()) + self.codes


@dataclass(frozen=True, slots=True)
class Handlers:
    tokens: Tokens
    sessions: Sessions
    users: Users
    feed: CredentialFeed
    verify: Verify
    public: Public


def make_routes(base: str, handlers: Handlers) -> Sequence[Route]:
    """The table, with `base` (`/v1/api`) before the paths of the API."""
    tokens, sessions, users = handlers.tokens, handlers.sessions, handlers.users
    feed, verify = handlers.feed, handlers.verify
    token = base + "/oauth/token"
    both = Needs.KEY_AND_TOKEN
    revoke_query = ("allDevices", "logoutCurrentDevice")
    # fmt: off
    return (
        Route("POST", token, "logIn", "Log in", tokens.post_token, Needs.KEY, LOGIN_CODES,
              Document[SessionAttributes], LoginRequest),
        Route("POST", token + "/refresh", "refresh", "Refresh", tokens.post_refresh, Needs.KEY, REFRESH_CODES,
              Document[SessionAttributes], RefreshRequest, headers=("Idempotency-Key",)),
        Route("GET", token + "/info", "inspectToken", "Token info", AtOnce(tokens.get_info), both, (),
              Document[TokenAttributes]),
        Route("POST", token + "/revoke", "revoke", "Revoke (log out)", tokens.revoke_session,
              Needs.KEY_AND_ANY_TOKEN, REVOKE_CODES, Document[RevocationAttributes], RevokeRequest,
              body_optional=True, query=revoke_query),
        Route("GET", token + "/revoke", "revokeByGet", "Revoke, for existing clients", tokens.revoke_session, both, (),
              Document[RevocationAttributes], query=revoke_query),
        Route("GET", base + "/sessions", "listSessions", "The user's own sessions", sessions.get_all, both, (),
              ListDocument[OwnSessionAttributes]),
        Route("DELETE", base + "/sessions", "endOtherSessions", "End all own sessions but this one",
              sessions.delete_others, both, (), None),
        Route("DELETE", base + "/sessions/{id}", "endSession", "End one own session", sessions.delete_one, both,
              (errors.NotFound,), None),
        Route("GET", base + "/users/me", "getOwnProfile", "The user's own profile", users.get_me, both, (),
              Document[UserAttributes]),
        Route("GET", base + "/feed/snapshot", "getFeedSnapshot", "The credential feed: the whole state",
              feed.get_snapshot, Needs.GUARD_KEY, (errors.Overloaded,), Snapshot, headers=("If-None-Match",)),
        Route("GET", base + "/feed", "followFeed", "The credential feed: what changes", feed.get_stream,
              Needs.GUARD_KEY, (errors.Overloaded,), str, headers=("Last-Event-ID",), media_type=CONTENT_TYPE),
        Route("GET", base + "/verify", "verify", "Forward authentication, for proxies",
              AtOnce(verify.get_verify), Needs.CALLER, (), None, texts=(METHOD_HEADER,), forwarded=verify),
        *_make_public_routes(handlers.public),
    )
    # fmt: on


def _make_public_routes(public: Public) -> Sequence[Route]:
    # fmt: off
    return (
        Route("GET", "/.well-known/jwks.json", "getJwks", "The public keys", AtOnce(public.get_jwks), Needs.NOTHING, (),
              dict[str, Any]),
        Route("GET", "/health/live", "getLive", "Whether the process runs", AtOnce(public.get_live), Needs.NOTHING, (),
              Health),
        Route("GET", "/health/ready", "getReady", "Whether the process can answer", AtOnce(public.get_ready),
              Needs.NOTHING, (), Health),
        Route("GET", "/openapi.json", "getOpenapi", "This contract", AtOnce(public.get_openapi), Needs.NOTHING, (),
              dict[str, Any]),
    )
    # fmt: on
