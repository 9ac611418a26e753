"""What a guard knows: state, keys, the service's time. Some threads learn it, others verify by it."""

import threading
from collections.abc import Collection

from keybearer.credentials.access_token import AccessToken, AccessTokenVerifier
from keybearer.errors import AccessTokenInvalid, StorageUnavailable
from keybearer.guard._clock import ServiceClock
from keybearer.guard._core import CredentialCheck, CredentialState
from keybearer.guard._errors import WrongService
from keybearer.jose.key_set import KeySet


class Knowledge:
    """`issuer` and `audience` are those of the configuration, or else what the service's first snapshot says."""

    def __init__(
        self,
        clock: ServiceClock,
        *,
        issuer: str | None,
        audience: str | None,
        algorithms: Collection[str],
        max_staleness: float,
    ) -> None:
        self.clock = clock
        self.state = CredentialState()
        self.check = CredentialCheck(self.state, max_staleness=max_staleness)
        self.keys: KeySet | None = None
        self._algorithms = frozenset(algorithms)
        self._issuer = issuer
        self._audience = audience
        self._lock = threading.Lock()

    def renew_lock(self) -> None:
        """In the child of a fork: the thread that may have held the lock is not in this process."""
        self._lock = threading.Lock()

    def staleness(self) -> float:
        """Seconds; infinite before the first snapshot."""
        return self.check.staleness(self.clock.now())

    def is_complete(self) -> bool:
        """Whether there is all that a decision takes."""
        return self.keys is not None and self.state.as_of is not None

    def require_issuer(self, issuer: str) -> None:
        """Raises WrongService when a snapshot is another issuer's."""
        if self._issuer is not None and issuer != self._issuer:
            raise WrongService("The snapshot is another issuer's: check base_url and issuer.")

    def require_own(self, token: AccessToken) -> None:
        """What the verifier compares, for a token that the service vouches for. Raises AccessTokenInvalid, and
        StorageUnavailable as long as it is not known whose tokens are accepted here."""
        if self._issuer is None or self._audience is None:
            raise StorageUnavailable("The guard has not learned whose tokens to accept.")
        if token.issuer != self._issuer or self._audience not in token.audience:
            raise AccessTokenInvalid("The access token is another issuer's, or for another audience.")

    def learn_identity(self, issuer: str, audience: str) -> None:
        """Take what a snapshot says, where nothing is known yet."""
        with self._lock:
            if self._issuer is None or self._audience is None:
                self._issuer = self._issuer or issuer
                self._audience = self._audience or audience
                self._renew_verifier(self.keys)

    def use_keys(self, keys: KeySet | None) -> None:
        """Verify with these keys from now on; None when there are none to be trusted any more."""
        with self._lock:
            if keys is None or self.keys is None or keys.to_jwks() != self.keys.to_jwks():
                # Until the verifier is another one, no keys are what it verifies with: a fork in between fetches again.
                self.keys = None
                self._renew_verifier(keys)
                self.keys = keys

    def _renew_verifier(self, keys: KeySet | None) -> None:
        if keys is None or self._issuer is None or self._audience is None:
            self.check.use_verifier(None)
        else:
            self.check.use_verifier(
                AccessTokenVerifier(
                    issuer=self._issuer, audience=self._audience, keys=keys, algorithms=self._algorithms
                )
            )
