"""The guard's face: one decision in memory, for synchronous and asynchronous services alike."""

import asyncio
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self
from weakref import finalize

from keybearer.credentials.access_token import DEFAULT_ALGORITHMS
from keybearer.credentials.api_key import ApiKeyKind, parse_api_key
from keybearer.errors import (
    AccessTokenInvalid,
    AccessTokenMissing,
    ApiKeyInvalid,
    ApiKeyMissing,
    KeybearerError,
    StorageUnavailable,
)
from keybearer.guard._clock import ServiceClock, steady_clock
from keybearer.guard._core import read_bearer, require_no_permissions
from keybearer.guard._errors import GuardKeyRefused
from keybearer.guard._knowledge import Knowledge
from keybearer.guard._limits import DEFAULT_LIMITS, Limits
from keybearer.guard._metrics import Counter, GuardMetrics
from keybearer.guard._source import Service, Source
from keybearer.guard._values import NOTHING, ON_STALE, Caller, Credentials, OnStale, Requirements
from keybearer.jose.keys import ALGORITHMS
from keybearer.outgoing.address import parse_address


class Guard:
    """Verifies both credentials of a request by what the service's feed says (docs/guard.md).

    `base_url` is the service's; a path that it has is that of the API. `api_key` is a secret key with the permission
    `guard`. `issuer` and `audience` are what tokens must say; by default what the service says of itself.
    `max_staleness` is in seconds, and `on_stale` says what happens beyond it. `allow_http` is for networks in which
    nobody can read or change what is sent. `steady` answers nanoseconds and never steps.

    ValueError for options that cannot be meant, and GuardKeyRefused for what is no secret key at all.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        max_staleness: float = 60,
        on_stale: OnStale = "reject",
        algorithms: Collection[str] = DEFAULT_ALGORITHMS,
        allow_http: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        steady: Callable[[], int] = steady_clock,
    ) -> None:
        address = parse_address(base_url, allow_http=allow_http)
        _require_secret(api_key)
        if max_staleness < 0:
            raise ValueError("max_staleness is a number of seconds, not negative")
        if isinstance(algorithms, str) or not algorithms or not ALGORITHMS.issuperset(algorithms):
            raise ValueError(f"algorithms is a collection of {', '.join(sorted(ALGORITHMS))}")
        knowledge = Knowledge(
            ServiceClock(steady), issuer=issuer, audience=audience, algorithms=algorithms, max_staleness=max_staleness
        )
        self._use(Service(address, api_key, knowledge, limits, steady), on_stale)

    @classmethod
    def over(cls, source: Source, *, on_stale: OnStale = "reject") -> Self:
        """A guard that learns from `source`: how `keybearer.testing` makes one without a service."""
        guard = cls.__new__(cls)
        Guard._use(guard, source, on_stale)
        return guard

    def _use(self, source: Source, on_stale: OnStale) -> None:
        if on_stale not in ON_STALE:
            raise ValueError(f"on_stale is one of {', '.join(ON_STALE)}")
        self._source = source
        self._knowledge = source.knowledge
        self._check = source.knowledge.check
        self._now = source.knowledge.clock.now
        self._on_stale: OnStale = on_stale
        self._verified = Counter()
        self._refused = Counter()
        self._introspected = Counter()
        finalize(self, source.stop)

    def start(self, timeout: float = 10) -> None:
        """Begin to follow the service, and return when there is all that a decision takes.

        Raises GuardKeyRefused, WrongService or ServiceUnreachable; then nothing is left running.
        """
        self._source.start(timeout)

    def close(self) -> None:
        """End the threads. What is known stays, and grows old. May be called again, as may `start` after it."""
        self._source.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def staleness(self) -> float:
        """Seconds since what this guard knows was known to be the truth; infinite before the first snapshot."""
        return self._knowledge.staleness()

    @property
    def metrics(self) -> GuardMetrics:
        """Counters as they are now, for this process."""
        feed, keys = self._source.feed_counts, self._source.key_counts
        return GuardMetrics(
            staleness=self.staleness,
            verified=self._verified.value(),
            refused=self._refused.value(),
            introspected=self._introspected.value(),
            snapshots=feed.snapshots,
            snapshots_refused=feed.snapshots_refused,
            reconnects=feed.reconnects,
            entries=feed.entries,
            unknown_kinds=feed.unknown_kinds,
            key_fetches=keys.fetches,
            key_fetches_failed=keys.failures,
        )

    def verify(self, credentials: Credentials, requirements: Requirements = NOTHING) -> Caller | None:
        """Who sends this request; None when that is optional and no `Authorization` header was sent.

        Raises the errors of the catalogue (contract.md section 2): ApiKeyError, AccessTokenError, PermissionDenied, and
        StorageUnavailable for as long as this guard does not know enough. No I/O, but where `on_stale` is `introspect`.
        """
        if not self._source.started:
            self._source.ensure_started()
        now = self._now()
        return self._decide(credentials, requirements, now, stale=self._check.is_stale(now))

    async def verify_async(self, credentials: Credentials, requirements: Requirements = NOTHING) -> Caller | None:
        """As `verify`, and never in the way of the event loop."""
        if not self._source.started:
            return await asyncio.to_thread(self.verify, credentials, requirements)
        now = self._now()
        stale = self._check.is_stale(now)  # asked once: what was fresh must not turn out to be stale on the loop
        if stale and (requirements.on_stale or self._on_stale) == "introspect":
            return await asyncio.to_thread(self._decide, credentials, requirements, now, stale=True)
        return self._decide(credentials, requirements, now, stale=stale)

    def _decide(self, credentials: Credentials, requirements: Requirements, now: int, *, stale: bool) -> Caller | None:
        try:
            verify = self._verify_stale if stale else self._verify
            caller = verify(credentials, requirements, now)
        except KeybearerError:
            self._refused.add()
            raise
        self._verified.add()
        return caller

    def _verify(self, credentials: Credentials, requirements: Requirements, now: int) -> Caller | None:
        """By what is known, however old."""
        if not credentials.api_key:
            raise ApiKeyMissing
        key = self._check.verify_key_as_known(credentials.api_key, credentials.origin, now)
        require_no_permissions(key)
        authorization = credentials.authorization
        if authorization is None and requirements.optional:
            return None
        try:
            caller = self._check.verify_remembered(authorization, key.application_id, now).caller
        except AccessTokenInvalid:
            if self._source.is_behind_key_of(read_bearer(authorization)):
                raise StorageUnavailable("The key of the access token is on its way.", retry_after=1) from None
            raise
        if requirements is not NOTHING:
            requirements.check(caller)
        return caller

    def _verify_stale(self, credentials: Credentials, requirements: Requirements, now: int) -> Caller | None:
        """While revocations are out of sight (clients.md G4)."""
        match requirements.on_stale or self._on_stale:
            case "introspect":
                return self._introspect(credentials, requirements)
            case "accept" if self._knowledge.state.as_of is not None:
                return self._verify(credentials, requirements, now)
        if not credentials.api_key:
            raise ApiKeyMissing
        self._check.require_fresh(now)
        return self._verify(credentials, requirements, now)  # the feed has come back in this moment

    def _introspect(self, credentials: Credentials, requirements: Requirements) -> Caller | None:
        """By the service's word about its own tokens. It accepts keys with permissions and says nothing of them, so a
        key must be known here."""
        self._introspected.add()
        self._require_known_key(credentials.api_key)
        try:
            token = self._source.introspect(credentials)
        except AccessTokenMissing:
            if credentials.authorization is None and requirements.optional:
                return None
            raise
        self._knowledge.require_own(token)
        caller = Caller.of(token)
        requirements.check(caller)
        return caller

    def _require_known_key(self, api_key: str | None) -> None:
        if not api_key:
            raise ApiKeyMissing
        known = self._knowledge.state.find_key(api_key)
        if known is not None:
            require_no_permissions(known[0])
        elif parse_api_key(api_key) is None:
            raise ApiKeyInvalid
        else:
            raise StorageUnavailable("The guard has not learned of this Api-Key yet.", retry_after=5)


def _require_secret(api_key: str) -> None:
    parsed = parse_api_key(api_key)
    if parsed is None or parsed.kind is not ApiKeyKind.SECRET:
        raise GuardKeyRefused(
            "The guard's api_key is not a secret Api-Key (kbs_…), or not whole: create one with "
            "'keybearer keys create APPLICATION --kind secret --permission guard'."
        )
