"""A fake issuer, for tests of services that a guard stands before: no running Keybearer, no socket, no thread.

    issuer = FakeIssuer()
    guard = issuer.guard()
    headers = issuer.headers(user_id="jane", roles=["editor"])

What verifies is the guard's own code; only what it learns from is in memory. Nothing here is fit for production: the
bits of Api-Keys and ids count up from one.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from weakref import WeakSet

from keybearer.credentials.access_token import (
    DEFAULT_ALGORITHMS,
    AccessToken,
    AccessTokenVerifier,
    issue_access_token,
)
from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, hash_api_key, make_api_key
from keybearer.guard import Credentials, Guard, OnStale
from keybearer.guard._clock import ServiceClock
from keybearer.guard._core import CredentialCheck, CredentialState
from keybearer.guard._knowledge import Knowledge
from keybearer.guard._metrics import FeedCounts, KeyCounts
from keybearer.guard.state import ApiKeyState, ApplicationState, RevokedSession, RevokedUser
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import SigningKey

START: Final = 1_800_000_000
"""What the clock of every issuer shows at first, in seconds since the Unix epoch: a day in January 2027."""

_FOREVER: Final = 10**12
"""Milliseconds; more than thirty years."""


class FakeIssuer:
    """Applications, Api-Keys, tokens and revocations. What is made or ended here its guards know at once.

    `application` is the id of an application that is there from the beginning; everything belongs to it unless another
    is named. The clock stands still until `advance`. A second issuer of the same name makes tokens that look right and
    are signed with a key that guards of the first do not have.
    """

    def __init__(self, *, issuer: str = "https://auth.example.com", audience: str | None = None) -> None:
        self.issuer = issuer
        self.audience = audience or issuer
        self._now = START * 1000
        self._numbers = itertools.count(1)
        self._signing_keys = [SigningKey.generate("ES256")]
        self._applications: dict[str, ApplicationState] = {}
        self._keys: dict[str, ApiKeyState] = {}
        self._sessions: list[RevokedSession] = []
        self._users: dict[str, RevokedUser] = {}
        self._sources: WeakSet[_Memory] = WeakSet()
        self._is_feed_cut = False
        self.application = self.add_application()

    @property
    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return self._now / 1000

    def advance(self, seconds: float) -> None:
        """Let time pass, for the issuer and its guards."""
        self._now += round(seconds * 1000)
        self._tell()

    def guard(self, *, max_staleness: float = 60, on_stale: OnStale = "reject") -> Guard:
        """A guard of this issuer, with the options of `Guard` that mean something here. It needs no start."""
        source = _Memory(self, max_staleness)
        self._sources.add(source)
        self._tell()
        return Guard.over(source, on_stale=on_stale)

    # --- what there is ---

    def add_application(self, *, origins: Sequence[str] = ()) -> str:
        """The id of a new application. Browsers may send its publishable keys from these origins."""
        application = ApplicationState(self._id(), "", True, frozenset(origins))
        self._applications[application.id] = application
        self._tell()
        return application.id

    def api_key(
        self,
        application: str | None = None,
        *,
        secret: bool = False,
        expires_in: float | None = None,
        permissions: Sequence[str] = (),
    ) -> str:
        """The text of a new key, publishable unless it is `secret`; `expires_in` is in seconds."""
        kind = ApiKeyKind.SECRET if secret else ApiKeyKind.PUBLISHABLE
        text = make_api_key(kind, next(self._numbers).to_bytes(RANDOM_BYTES))
        self._keys[text] = ApiKeyState(
            id=self._id(),
            key_hash=hash_api_key(text),
            secret=secret,
            application_id=application or self.application,
            revoked=False,
            expires_at=None if expires_in is None else self._now + round(expires_in * 1000),
            permissions=frozenset(permissions),
        )
        self._tell()
        return text

    def access_token(
        self,
        *,
        user_id: str | None = None,
        application: str | None = None,
        session_id: str | None = None,
        roles: Sequence[str] = (),
        scope: str = "",
        expires_in: float = 900,
        **others: Any,
    ) -> str:
        """A signed token. `expires_in` is in seconds; below zero it has expired already.

        `others` are `issuer`, `audience`, `token_id`, `ver` and `issued_at`, for tokens that are wrong.
        """
        issued_at = int(self.now)
        user = user_id or self._id()
        known = self._users.get(user)
        claims: dict[str, Any] = {
            "issuer": self.issuer,
            "audience": self.audience,
            "user_id": user,
            "application_id": application or self.application,
            "session_id": session_id or self._id(),
            "token_id": self._id(),
            "ver": 0 if known is None else known.ver,
            "issued_at": issued_at,
            "expires_at": issued_at + int(expires_in),
        }
        return issue_access_token(self._signing_keys[-1], roles=roles, scope=scope, **claims | others)

    def headers(self, api_key: str | None = None, **token: Any) -> dict[str, str]:
        """Both headers of a request: a new token of these properties, and a key of its application, new unless it is
        given."""
        return {
            "Api-Key": api_key or self.api_key(token.get("application")),
            "Authorization": f"Bearer {self.access_token(**token)}",
        }

    def credentials(self, api_key: str | None = None, **token: Any) -> Credentials:
        """As `headers`, in the form that `Guard.verify` takes."""
        headers = self.headers(api_key, **token)
        return Credentials(headers["Api-Key"], headers["Authorization"])

    # --- what ends it ---

    def revoke_session(self, session_id: str) -> None:
        self._sessions.append(RevokedSession(session_id, self._now + _FOREVER))
        self._tell()

    def revoke_user(self, user_id: str) -> None:
        """End all tokens that the user has; those that are issued from now on hold."""
        known = self._users.get(user_id)
        ver = 1 if known is None else known.ver + 1
        self._users[user_id] = RevokedUser(user_id, ver, self._now + _FOREVER)
        self._tell()

    def revoke_api_key(self, text: str) -> None:
        self._keys[text] = replace(self._keys[text], revoked=True)
        self._tell()

    def disable_application(self, application: str | None = None) -> None:
        self._set_enabled(application or self.application, False)

    def enable_application(self, application: str | None = None) -> None:
        self._set_enabled(application or self.application, True)

    def rotate_signing_key(self) -> None:
        """Sign with another key from now on; tokens of the ones before hold."""
        self._signing_keys.append(SigningKey.generate("ES256"))
        self._tell()

    def cut_feed(self) -> None:
        """Keep everything from the guards from now on: after `max_staleness` they act as `on_stale` says. Asked about
        a token, the issuer still answers."""
        self._is_feed_cut = True

    def restore_feed(self) -> None:
        self._is_feed_cut = False
        self._tell()

    # --- between issuer and guards ---

    def fill(self, state: CredentialState) -> None:
        """Make a guard's state what there is now."""
        state.replace(
            applications=self._applications.values(),
            keys=self._keys.values(),
            sessions=self._sessions,
            users=self._users.values(),
            key_set_version=len(self._signing_keys),
        )
        state.as_of = self._now

    def steady(self) -> int:
        """The clock of the issuer's guards, in nanoseconds."""
        return self._now * 1_000_000

    def key_set(self) -> KeySet:
        return KeySet.from_keys(key.verification_key() for key in self._signing_keys)

    def inspect(self, credentials: Credentials) -> AccessToken:
        """As the service's token info: by what is known here, whatever guards know."""
        state = CredentialState()
        self.fill(state)
        check = CredentialCheck(state)
        check.use_verifier(AccessTokenVerifier(self.issuer, self.audience, self.key_set()))
        key = check.verify_key(credentials.api_key, credentials.origin, self._now)
        return check.verify_bearer(credentials.authorization, key.application_id, self._now)

    def _set_enabled(self, application: str, enabled: bool) -> None:
        self._applications[application] = replace(self._applications[application], enabled=enabled)
        self._tell()

    def _id(self) -> str:
        return f"00000000-0000-7000-8000-{next(self._numbers):012x}"

    def _tell(self) -> None:
        for source in [] if self._is_feed_cut else list(self._sources):
            source.learn()


class _Memory:
    """An issuer in the same process, as what a guard learns from."""

    def __init__(self, issuer: FakeIssuer, max_staleness: float) -> None:
        self.knowledge = Knowledge(
            ServiceClock(issuer.steady),
            issuer=issuer.issuer,
            audience=issuer.audience,
            algorithms=DEFAULT_ALGORITHMS,
            max_staleness=max_staleness,
        )
        self.started = True
        self.feed_counts = FeedCounts()
        self.key_counts = KeyCounts()
        self._issuer = issuer

    def learn(self) -> None:
        self._issuer.fill(self.knowledge.state)
        self.knowledge.use_keys(self._issuer.key_set())

    def start(self, timeout: float) -> None:
        """It has begun."""

    def ensure_started(self) -> None:
        """As `start`."""

    def close(self) -> None:
        """There is nothing to end."""

    def stop(self) -> None:
        """As `close`."""

    def is_behind_key_of(self, token: str) -> bool:  # noqa: ARG002 - every key is here at once
        return False

    def introspect(self, credentials: Credentials) -> AccessToken:
        return self._issuer.inspect(credentials)
