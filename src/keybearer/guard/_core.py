"""Both credentials of a request, verified against what the feed says. No I/O; the service's own check is this code.

`CredentialState` is what the feed says, `CredentialCheck` decides. The order of decisions is that of contract.md
section 2: the key's form, its look-up, its application, the origin; the token's form, its signature and claims, its
expiry, its application, its revocation.
"""

import heapq
from collections.abc import Iterable

from keybearer.credentials.access_token import AccessToken, AccessTokenVerifier
from keybearer.credentials.api_key import parse_api_key
from keybearer.errors import (
    AccessTokenExpired,
    AccessTokenMissing,
    AccessTokenRevoked,
    AccessTokenWrongApplication,
    ApiKeyExpired,
    ApiKeyInvalid,
    ApiKeyMissing,
    ApiKeyRevoked,
    ApplicationDisabled,
    OriginNotAllowed,
    StorageUnavailable,
)
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


class CredentialState:
    """Applications, keys and revocations as of `as_of`; empty, and never fresh, until the first `replace`.

    Revocations leave by themselves when the last token that they concern has expired, in `expire`.
    """

    def __init__(self) -> None:
        self.applications: dict[str, ApplicationState] = {}
        self.keys: dict[bytes, ApiKeyState] = {}
        self.sessions: dict[str, int] = {}
        self.users: dict[str, RevokedUser] = {}
        self.key_set_version = 0
        self.origins: frozenset[str] = frozenset()
        self.as_of: int | None = None
        self._expiries: list[tuple[int, str]] = []
        self._key_texts: dict[str, ApiKeyState] = {}

    def replace(
        self,
        *,
        applications: Iterable[ApplicationState],
        keys: Iterable[ApiKeyState],
        sessions: Iterable[RevokedSession],
        users: Iterable[RevokedUser],
        key_set_version: int,
    ) -> None:
        """Take a snapshot in place of everything known before."""
        self.applications = {application.id: application for application in applications}
        self.keys = {key.key_hash: key for key in keys}
        self.sessions = {}
        self.users = {}
        self._expiries = []
        self.key_set_version = key_set_version
        self._forget_key_texts()
        for session in sessions:
            self.apply(session)
        for user in users:
            self.apply(user)

    def apply(self, entry: Entry) -> None:
        """Take one entry of the feed; a repeated or older one changes nothing."""
        match entry:
            case RevokedSession(id, expires_at):
                self.sessions[id] = max(expires_at, self.sessions.get(id, 0))
                heapq.heappush(self._expiries, (expires_at, id))
            case RevokedUser(id, ver, expires_at):
                known = self.users.get(id)
                if known is None or known.ver <= ver:
                    self.users[id] = entry
                    heapq.heappush(self._expiries, (expires_at, id))
            case ApplicationState(id):
                self.applications[id] = entry
                self._forget_key_texts()
            case ApiKeyState():
                self.keys[entry.key_hash] = entry
                self._forget_key_texts()
            case KeySetChanged(version):
                self.key_set_version = max(version, self.key_set_version)

    def expire(self, now: int) -> None:
        """Drop the revocations whose last token has expired."""
        while self._expiries and self._expiries[0][0] <= now:
            _, id = heapq.heappop(self._expiries)
            if self.sessions.get(id, now + 1) <= now:
                del self.sessions[id]
            user = self.users.get(id)
            if user is not None and user.expires_at <= now:
                del self.users[id]

    def find_key(self, text: str) -> ApiKeyState | None:
        """The key with this text. A text that is known needs no hashing; only texts of real keys are remembered."""
        key = self._key_texts.get(text)
        if key is None:
            parsed = parse_api_key(text)
            key = self.keys.get(parsed.key_hash) if parsed is not None else None
            if key is not None:
                self._key_texts[text] = key
        return key

    def is_revoked(self, token: AccessToken) -> bool:
        """True when the token's session has ended, or its user's authorization version has moved past it."""
        if token.session_id in self.sessions:
            return True
        user = self.users.get(token.user_id)
        return user is not None and token.ver < user.ver

    def _forget_key_texts(self) -> None:
        self._key_texts = {}
        self.origins = frozenset().union(*(application.origins for application in self.applications.values()))


class RememberedTokens:
    """Tokens that were fully verified, in two generations: the young one becomes the old one when it is full.

    So memory is bounded at twice `capacity`, and a hit costs one look-up and no bookkeeping.
    """

    def __init__(self, capacity: int = REMEMBERED_TOKENS) -> None:
        self._capacity = capacity
        self._young: dict[str, AccessToken] = {}
        self._old: dict[str, AccessToken] = {}

    def find(self, text: str) -> AccessToken | None:
        token = self._young.get(text)
        if token is None:
            token = self._old.get(text)
            if token is not None:
                self.add(text, token)
        return token

    def add(self, text: str, token: AccessToken) -> None:
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
        self._young[text] = token

    def clear(self) -> None:
        self._young = {}
        self._old = {}


class CredentialCheck:
    """Verifies both credentials. Every `now` is milliseconds since the epoch, from a clock that never steps back.

    `max_staleness` (seconds): beyond that age of the state nothing is accepted (`StorageUnavailable`).
    """

    def __init__(self, state: CredentialState, *, max_staleness: int = 60) -> None:
        self._state = state
        self._max_staleness = max_staleness * 1000
        self._remembered = RememberedTokens()
        self._verifier: AccessTokenVerifier | None = None

    def use_verifier(self, verifier: AccessTokenVerifier) -> None:
        """Verify with another key set from now on: what was remembered was verified with the one before."""
        self._verifier = verifier
        self._remembered.clear()

    def staleness(self, now: int) -> float:
        """Seconds since the state was known to be the truth; infinite before the first snapshot."""
        as_of = self._state.as_of
        return float("inf") if as_of is None else max(0, now - as_of) / 1000

    def require_fresh(self, now: int) -> None:
        """Raise StorageUnavailable when revocations have been out of sight for longer than `max_staleness`."""
        as_of = self._state.as_of
        if as_of is None or now - as_of > self._max_staleness:
            raise StorageUnavailable("The service has lost sight of revocations.", retry_after=5)

    def verify_key(self, text: str | None, origin: str | None, now: int) -> ApiKeyState:
        """The key of an `Api-Key` header, admitted together with its application and the `Origin` header.

        Raises the subclasses of ApiKeyError, and StorageUnavailable.
        """
        if not text:
            raise ApiKeyMissing
        self.require_fresh(now)
        key = self._state.find_key(text)
        if key is None:
            raise ApiKeyInvalid
        if key.revoked:
            raise ApiKeyRevoked
        if key.expires_at is not None and now >= key.expires_at:
            raise ApiKeyExpired
        application = self._state.applications.get(key.application_id)
        if application is None or not application.enabled:
            raise ApplicationDisabled
        if origin is not None:
            _check_origin(key, application, origin)
        return key

    def verify_bearer(self, authorization: str | None, application_id: str, now: int) -> AccessToken:
        """The access token of an `Authorization` header (RFC 6750 section 2.1), issued to this application.

        Raises the subclasses of AccessTokenError, and StorageUnavailable.
        """
        text = _bearer(authorization)
        token = self._remembered.find(text)
        if token is None:
            token = self._verify_unknown(text, now)
        if now >= token.expires_at * 1000:
            raise AccessTokenExpired(f"The access token expired {now // 1000 - token.expires_at} s ago.")
        if token.application_id != application_id:
            raise AccessTokenWrongApplication
        if self._state.is_revoked(token):
            raise AccessTokenRevoked
        return token

    def _verify_unknown(self, text: str, now: int) -> AccessToken:
        if self._verifier is None:
            raise StorageUnavailable("The service has no keys yet.", retry_after=1)
        token = self._verifier.verify(text, now=now / 1000)
        self._remembered.add(text, token)
        return token


def _check_origin(key: ApiKeyState, application: ApplicationState, origin: str) -> None:
    if key.secret:
        raise OriginNotAllowed("A secret key belongs on a server; it is refused together with an Origin header.")
    if origin not in application.origins:
        raise OriginNotAllowed


def _bearer(authorization: str | None) -> str:
    scheme, _, text = (authorization or "").partition(" ")
    text = text.strip(" ")
    if not text or scheme.lower() != "bearer":
        raise AccessTokenMissing
    return text
