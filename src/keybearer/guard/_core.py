"""Both credentials of a request, verified against what the feed says. No I/O; the service's own check is this code.

`CredentialState` is what the feed says, `CredentialCheck` decides. The order of decisions is that of contract.md
section 2: the key's form, its look-up, its application, the origin; the token's form, its signature and claims, its
expiry, its application, its revocation. Any thread may ask while one thread changes the state.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Self

import msgspec

from keybearer.credentials.access_token import AccessToken, AccessTokenVerifier
from keybearer.credentials.api_key import parse_api_key
from keybearer.errors import (
    AccessTokenExpired,
    AccessTokenMissing,
    AccessTokenRevoked,
    AccessTokenWrongApplication,
    ApiKeyError,
    ApiKeyExpired,
    ApiKeyInvalid,
    ApiKeyMissing,
    ApiKeyRevoked,
    ApplicationDisabled,
    OriginNotAllowed,
    StorageUnavailable,
)
from keybearer.guard._revocations import Key, Revocations, key_of
from keybearer.guard._values import Caller
from keybearer.guard.state import (
    ApiKeyState,
    ApplicationState,
    Entry,
    KeySetChanged,
    RevokedSession,
    RevokedUser,
)

REMEMBERED_TOKENS = 10_000
"""How many verified tokens one generation holds; two are kept."""

_BEARER: Final = "Bearer "


class CredentialState:
    """Applications, keys and revocations as of `as_of`; empty, and never fresh, until the first `replace`.

    Revocations leave by themselves when the last token that they concern has expired, in `expire`.
    """

    def __init__(self) -> None:
        self.applications: dict[str, ApplicationState] = {}
        self.keys: dict[bytes, ApiKeyState] = {}
        self.revocations = Revocations()
        self.key_set_version = 0
        self.origins: frozenset[str] = frozenset()
        self.as_of: int | None = None
        self._known_keys: dict[str, tuple[ApiKeyState, ApplicationState | None]] = {}

    def replace(
        self,
        *,
        applications: Iterable[ApplicationState],
        keys: Iterable[ApiKeyState],
        sessions: Iterable[RevokedSession],
        users: Iterable[RevokedUser],
        key_set_version: int,
    ) -> None:
        """Take a snapshot in place of everything known before. Nothing changes before all of it was read."""
        revocations = Revocations()
        for session in sessions:
            revocations.add_session(session.id, session.expires_at)
        for user in users:
            revocations.add_user(user.id, user.ver, user.expires_at)
        self.use(applications, keys, revocations, key_set_version)

    def use(
        self,
        applications: Iterable[ApplicationState],
        keys: Iterable[ApiKeyState],
        revocations: Revocations,
        key_set_version: int,
    ) -> None:
        """`replace`, with tables that are filled already."""
        self.revocations = revocations
        self.applications = {application.id: application for application in applications}
        self.keys = {key.key_hash: key for key in keys}
        self.key_set_version = key_set_version
        self._forget_known_keys()

    def apply(self, entry: Entry) -> None:
        """Take one entry of the feed; a repeated or older one changes nothing."""
        match entry:
            case RevokedSession(id, expires_at):
                self.revocations.add_session(id, expires_at)
            case RevokedUser(id, ver, expires_at):
                self.revocations.add_user(id, ver, expires_at)
            case ApplicationState(id):
                self.applications[id] = entry
                self._forget_known_keys()
            case ApiKeyState():
                self.keys[entry.key_hash] = entry
                self._forget_known_keys()
            case KeySetChanged(version):
                self.key_set_version = max(version, self.key_set_version)

    def expire(self, now: int) -> bool:
        """Drop revocations whose last token has expired. True when there are more of them, for the next call."""
        return self.revocations.expire(now)

    def revoked_sessions(self) -> Iterator[RevokedSession]:
        """Every session that has ended, made one by one; one that expires meanwhile is left out."""
        return self.revocations.list_sessions()

    def revoked_users(self) -> Iterator[RevokedUser]:
        """As `revoked_sessions`."""
        return self.revocations.list_users()

    def find_key(self, text: str) -> tuple[ApiKeyState, ApplicationState | None] | None:
        """The key with this text, and its application. A text that is known needs no hashing; only texts of real keys
        are remembered."""
        known_keys = self._known_keys  # before the tables are read: a change that comes meanwhile replaces it
        known = known_keys.get(text)
        if known is None:
            parsed = parse_api_key(text)
            key = self.keys.get(parsed.key_hash) if parsed is not None else None
            if key is not None:
                known = known_keys[text] = (key, self.applications.get(key.application_id))
        return known

    def _forget_known_keys(self) -> None:
        self._known_keys = {}
        self.origins = frozenset().union(*(application.origins for application in self.applications.values()))


class RememberedToken(msgspec.Struct, gc=False):
    """A token that was fully verified, with what each further use of it is checked by, ready made."""

    token: AccessToken
    caller: Caller
    application_id: str
    expires_at: int
    """Milliseconds since the epoch."""
    session: Key
    user: Key
    ver: int
    mark: object = None
    """That of the revocations when it was not revoked."""
    described: tuple[bytes, bytes] | None = None
    """What token info says of it, before and after what changes from second to second; the service's."""

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        return cls(
            token,
            Caller.of(token),
            token.application_id,
            token.expires_at * 1000,
            key_of(token.session_id),
            key_of(token.user_id),
            token.ver,
        )

    def is_revoked(self, revocations: Revocations) -> bool:
        mark = revocations.mark  # before the tables: an entry that comes meanwhile makes another
        if revocations.is_revoked(self.session, self.user, self.ver):
            return True
        self.mark = mark
        return False


class TokenMemory:
    """One key set's verifier and the tokens that it has verified, in two generations: the young one becomes the old one
    when it is full.

    So memory is bounded at twice `capacity`, and a hit costs one look-up and no bookkeeping. Tokens are filed under the
    whole value of their header, written as RFC 6750 has it, so that there is nothing to cut up.
    """

    def __init__(self, verifier: AccessTokenVerifier | None, capacity: int = REMEMBERED_TOKENS) -> None:
        self._verifier = verifier
        self._capacity = capacity
        self.young: dict[str, RememberedToken] = {}
        self._old: dict[str, RememberedToken] = {}

    def peek(self, authorization: str | None) -> RememberedToken | None:
        """The token of a header, if it is remembered. Verifies nothing, and keeps it no longer."""
        return self.young.get(authorization) or self._old.get(authorization)  # type: ignore[arg-type]  # None is in neither

    def find(self, authorization: str | None, now: int) -> RememberedToken:
        """The token of a header whose value is not in `young`. Raises what `AccessTokenVerifier.verify` raises,
        AccessTokenMissing and StorageUnavailable."""
        value, text = _read_header(authorization)
        remembered = self.young.get(value) or self._old.get(value)
        if remembered is None:
            if self._verifier is None:
                raise StorageUnavailable("The service has no keys yet.", retry_after=1)
            remembered = RememberedToken.of(self._verifier.verify(text, now=now / 1000))
        if len(self.young) >= self._capacity:
            self._old, self.young = self.young, {}
        self.young[value] = remembered
        return remembered


class CredentialCheck:
    """Verifies both credentials. Every `now` is milliseconds since the epoch, from a clock that never steps back.

    `max_staleness` (seconds): beyond that age of the state nothing is accepted (`StorageUnavailable`).
    """

    def __init__(self, state: CredentialState, *, max_staleness: float = 60) -> None:
        self._state = state
        self._max_staleness = max_staleness * 1000
        self._memory = TokenMemory(None)

    def use_verifier(self, verifier: AccessTokenVerifier | None) -> None:
        """Verify with another key set from now on: what was remembered was verified with the one before. None: there
        are no keys to verify with."""
        self._memory = TokenMemory(verifier)

    def staleness(self, now: int) -> float:
        """Seconds since the state was known to be the truth; infinite before the first snapshot."""
        as_of = self._state.as_of
        return float("inf") if as_of is None else max(0, now - as_of) / 1000

    def is_stale(self, now: int) -> bool:
        """True when revocations have been out of sight for longer than `max_staleness`."""
        as_of = self._state.as_of
        return as_of is None or now - as_of > self._max_staleness

    def require_fresh(self, now: int) -> None:
        """Raise StorageUnavailable when `is_stale`."""
        if self.is_stale(now):
            raise StorageUnavailable("The service has lost sight of revocations.", retry_after=5)

    def verify_key(self, text: str | None, origin: str | None, now: int) -> ApiKeyState:
        """The key of an `Api-Key` header, admitted together with its application and the `Origin` header.

        Raises the subclasses of ApiKeyError, and StorageUnavailable.
        """
        if not text:
            raise ApiKeyMissing
        self.require_fresh(now)
        return self.verify_key_as_known(text, origin, now)

    def verify_key_as_known(self, text: str, origin: str | None, now: int) -> ApiKeyState:
        """`verify_key` by the state as it is, however old. Raises the subclasses of ApiKeyError."""
        known = self._state.find_key(text)
        if known is None:
            raise ApiKeyInvalid
        key, application = known
        if key.revoked:
            raise ApiKeyRevoked
        if key.expires_at is not None and now >= key.expires_at:
            raise ApiKeyExpired
        if application is None or not application.enabled:
            raise ApplicationDisabled
        if origin is not None:
            _check_origin(key, application, origin)
        return key

    def verify_bearer(self, authorization: str | None, application_id: str, now: int) -> AccessToken:
        """The access token of an `Authorization` header (RFC 6750 section 2.1), issued to this application.

        Raises the subclasses of AccessTokenError, and StorageUnavailable.
        """
        return self.verify_remembered(authorization, application_id, now).token

    def recognises(self, api_key: str | None, authorization: str | None, origin: str | None, now: int) -> bool:
        """Whether `verify_key` and `verify_bearer` would accept both without verifying anything. It decides nothing but
        whose turn it is."""
        token = self._memory.peek(authorization)
        if token is None or now >= token.expires_at or token.is_revoked(self._state.revocations):
            return False
        try:
            key = self.verify_key_as_known(api_key or "", origin, now)
        except ApiKeyError:
            return False
        return key.application_id == token.application_id and not key.permissions

    def verify_remembered(self, authorization: str | None, application_id: str, now: int) -> RememberedToken:
        """As `verify_bearer`, with the caller that the token names."""
        memory = self._memory
        token = memory.young.get(authorization)  # type: ignore[arg-type]  # None is in no dict of texts
        if token is None:
            token = memory.find(authorization, now)
        if now >= token.expires_at:
            raise AccessTokenExpired(f"The access token expired {(now - token.expires_at) // 1000} s ago.")
        if token.application_id != application_id:
            raise AccessTokenWrongApplication
        revocations = self._state.revocations
        if revocations.mark is not token.mark and token.is_revoked(revocations):
            raise AccessTokenRevoked
        return token


def require_no_permissions(key: ApiKeyState) -> None:
    """A key with permissions works at Keybearer only, so that it never travels. Raises ApiKeyInvalid."""
    if key.permissions:
        raise ApiKeyInvalid("A key with permissions works at Keybearer only.")


def _check_origin(key: ApiKeyState, application: ApplicationState, origin: str) -> None:
    if key.secret:
        raise OriginNotAllowed("A secret key belongs on a server; it is refused together with an Origin header.")
    if origin not in application.origins:
        raise OriginNotAllowed


def read_bearer(authorization: str | None) -> str:
    """The token of an `Authorization` header. Raises AccessTokenMissing."""
    scheme, _, text = (authorization or "").partition(" ")
    text = text.strip(" ")
    if not text or scheme.lower() != "bearer":
        raise AccessTokenMissing
    return text


def _read_header(authorization: str | None) -> tuple[str, str]:
    """The header as it is mostly written, and the token in it. Raises AccessTokenMissing."""
    if authorization is not None and authorization.startswith(_BEARER) and authorization[-1] != " ":
        text = authorization[len(_BEARER) :]
        if text[0] != " ":
            return authorization, text
    text = read_bearer(authorization)
    return _BEARER + text, text
