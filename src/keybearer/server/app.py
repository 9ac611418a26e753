"""The composition root: settings in, ASGI application out. The only place that names backends and adapters."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache

import structlog
from prometheus_client import REGISTRY

from keybearer.credentials.access_token import AccessTokenVerifier
from keybearer.guard._core import CredentialCheck, CredentialState
from keybearer.jose.keys import ALGORITHMS
from keybearer.server.adapters.clock import SystemClock
from keybearer.server.adapters.key_encryption import AesGcmKeyEncryption, ensure_key_file, read_key_file
from keybearer.server.adapters.logging import configure_logging
from keybearer.server.adapters.metrics import Metrics
from keybearer.server.adapters.password_hasher import ThreadedPasswordHasher
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.adapters.scheduling import wake_at_once
from keybearer.server.flows.follow_feed import FeedFollower
from keybearer.server.flows.issue import TokenIssuer
from keybearer.server.flows.keyring import Keyring, LoadedKeys
from keybearer.server.flows.limiter import Limiter
from keybearer.server.flows.log_in import LogIn
from keybearer.server.flows.own_profile import OwnProfile
from keybearer.server.flows.own_sessions import OwnSessions
from keybearer.server.flows.refresh import Refresh
from keybearer.server.flows.revoke import Revoke
from keybearer.server.flows.secret_keys import SecretKeys
from keybearer.server.flows.snapshot_turns import SnapshotTurns
from keybearer.server.flows.stream_feed import FeedStreams
from keybearer.server.flows.upkeep import KeyUse, Upkeep
from keybearer.server.http.edge import Edge
from keybearer.server.http.feed import CredentialFeed
from keybearer.server.http.openapi import make_document
from keybearer.server.http.protocol import AT_ONCE, DRAIN
from keybearer.server.http.public import Public
from keybearer.server.http.request import Receive, RequestIds, RequestLimits, Scope, Send
from keybearer.server.http.routes import Handlers, Route, make_routes
from keybearer.server.http.sessions import Sessions
from keybearer.server.http.tokens import Tokens
from keybearer.server.http.users import Users
from keybearer.server.http.verify import Verify
from keybearer.server.ports import Clock, KeyEncryption, Randomness, Storage
from keybearer.server.settings import Settings, SettingsError, load_settings
from keybearer.server.storage.sqlite import SqliteStorage

log = structlog.get_logger("keybearer.app")

SAMPLE_INTERVAL = 1.0
"""Seconds between two samples of the gauges."""

_YOUNG = 50_000
"""Objects made since the last round of the garbage collector that set off the next."""

UNREADY = "keybearer.unready"
"""Where the application puts, in the state of its lifespan, what is to be called when no more requests should come."""

READY_WITHIN = 5.0
"""A process is ready as long as it has read the feed within this many seconds."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service is made of besides its settings; tests put their own clock and randomness here."""

    storage: Storage
    hasher: ThreadedPasswordHasher
    key_encryption: KeyEncryption
    clock: Clock
    randomness: Randomness


def build_key_encryption(settings: Settings) -> KeyEncryption:
    """The key-encryption key of the settings: itself, or the file that holds it (made beside an SQLite file)."""
    randomness = SystemRandomness()
    return AesGcmKeyEncryption(settings.key_encryption_key or _read_key(settings, randomness), randomness)


def _read_key(settings: Settings, randomness: Randomness) -> bytes:
    """The key of the file that is set, or of the one beside an SQLite file, which is made when it is not there."""
    if settings.key_encryption_key_file is not None:
        return read_key_file(settings.key_encryption_key_file)
    beside = settings.key_file_beside_database
    if beside is None:
        raise SettingsError(
            "KEYBEARER_KEY_ENCRYPTION_KEY or KEYBEARER_KEY_ENCRYPTION_KEY_FILE is required with PostgreSQL: every "
            "process needs the same key, and it must not lie in the database. `keybearer doctor` makes one to copy."
        )
    return ensure_key_file(beside, randomness)


def build_hasher(settings: Settings) -> ThreadedPasswordHasher:
    return ThreadedPasswordHasher(
        threads=settings.hash_threads,
        threads_in_a_flood=settings.hash_threads_in_a_flood,
        queue_limit=settings.hash_queue_limit,
        wait_limit=settings.hash_wait_limit,
        share_limit=settings.hash_per_address_limit,
    )


def build_storage(settings: Settings, clock: Clock, randomness: Randomness) -> Storage:
    """The backend that the database URL names."""
    if settings.sqlite_path is not None:
        return SqliteStorage(settings.sqlite_path, settings.session_policy, clock, randomness)
    from keybearer.server.storage.postgres import PostgresStorage  # noqa: PLC0415 - 4 MB that SQLite has no need of

    return PostgresStorage(
        settings.database, settings.session_policy, randomness, pool_size=settings.database_pool_size
    )


def build_parts(settings: Settings) -> Parts:
    clock, randomness = SystemClock(), SystemRandomness()
    return Parts(
        storage=build_storage(settings, clock, randomness),
        hasher=build_hasher(settings),
        key_encryption=build_key_encryption(settings),
        clock=clock,
        randomness=randomness,
    )


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    """The database of the settings, open until the block ends."""
    storage = build_storage(settings, SystemClock(), SystemRandomness())
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def running_service(settings: Settings, parts: Parts, metrics: Metrics) -> AsyncIterator["Service"]:
    """A service that answers, with its background work under way, until the block ends.

    Raises StorageUnavailable and KeyEncryptionError when it cannot start.
    """
    async with AsyncExitStack() as stack:
        await parts.storage.open()
        stack.push_async_callback(parts.storage.close)
        stack.callback(parts.hasher.close)
        keys = build_secret_keys(settings, parts.storage, parts.key_encryption)
        await keys.ensure()
        service = Service(settings, parts, metrics, Keyring(await keys.load()), keys)
        await service.follower.catch_up()
        for name, work in service.background_work().items():
            task = asyncio.create_task(_keep_running(name, work))
            stack.push_async_callback(_cancel, task)
        yield service
        await service.key_use.write()


class Service:
    """One process of the service: the flows wired to their parts, and the edge before them."""

    def __init__(self, settings: Settings, parts: Parts, metrics: Metrics, keyring: Keyring, keys: SecretKeys) -> None:
        self._parts = parts
        self._metrics = metrics
        self._keyring = keyring
        self._keys = keys
        self.draining = False
        self.state = CredentialState()
        self.check = CredentialCheck(self.state, max_staleness=settings.max_staleness)
        keyring.subscribe(lambda loaded: self.check.use_verifier(_verifier(settings, loaded)))
        self.follower = FeedFollower(parts.storage.feed, self.state, parts.clock, self._reload_keys)
        self.streams = FeedStreams(
            self.follower,
            parts.storage.feed,
            self.state,
            self.check,
            parts.clock,
            limit=settings.feed_streams,
            patience=settings.max_staleness / 2,
        )
        self.snapshot_turns = SnapshotTurns(settings.feed_streams)
        self.key_use = KeyUse(parts.storage.api_keys, parts.clock)
        self.upkeep = Upkeep(
            parts.storage, self.key_use, self._renew_keys, audit_retention=settings.audit_retention_days * 86400
        )
        self.routes = self._routes(settings)
        self.edge = Edge(
            self.routes,
            self.state,
            self.check,
            RequestLimits(settings.max_body_bytes, settings.body_timeout, settings.trusted_proxies),
            now=parts.clock.now,
            observer=metrics,
            key_use=self.key_use,
            request_ids=RequestIds(parts.randomness.bytes(8)),
        )

    def is_ready(self) -> bool:
        """Whether requests should be sent here: the database answers, and the process is not about to end."""
        return not self.draining and self.check.staleness(self._parts.clock.now()) < READY_WITHIN

    def become_unready(self) -> None:
        """The process will end: report not ready, and go on serving."""
        self.draining = True

    def drain(self) -> None:
        """The process is about to end: end what would never end by itself."""
        self.become_unready()
        self.streams.close()
        self.edge.turns.let_all_in()

    def background_work(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"feed": self.follower.run, "upkeep": self.upkeep.run, "metrics": self._sample}

    def _routes(self, settings: Settings) -> Sequence[Route]:
        parts, sessions = self._parts, self._parts.storage.sessions
        issuer = TokenIssuer(self._keyring, parts.randomness, settings.issuer, settings.audience)
        limiter = Limiter(settings.limit_policy, parts.key_encryption.derive(b"limiter"))
        log_in = LogIn(parts.storage, limiter, parts.hasher, issuer, parts.clock, parts.randomness)
        handlers = Handlers(
            Tokens(
                log_in,
                Refresh(sessions, issuer, self.follower),
                Revoke(sessions, self._keyring, self.follower),
            ),
            Sessions(OwnSessions(sessions, self.follower)),
            Users(OwnProfile(parts.storage.users)),
            self._feed(settings),
            Verify(),
            Public(self._keyring, self.is_ready, cache(lambda: make_document(self.routes))),
        )
        return make_routes(settings.base_path, handlers)

    def _feed(self, settings: Settings) -> CredentialFeed:
        clock = self._parts.clock
        return CredentialFeed(
            settings.issuer, settings.audience, self.state, self.follower, self.streams, self.snapshot_turns, clock
        )

    async def _reload_keys(self) -> None:
        self._keyring.replace(await self._keys.load())

    async def _renew_keys(self) -> None:
        await self._keys.renew()
        await self.follower.catch_up()

    async def _sample(self) -> None:
        while True:
            staleness, strangers = self.check.staleness(self._parts.clock.now()), self.edge.turns.waiting
            self._metrics.sample(staleness, self._parts.hasher, self.streams.count, strangers)
            await asyncio.sleep(SAMPLE_INTERVAL)


class App:
    """The ASGI application: starts the service with the server's lifespan, and passes requests to its edge."""

    def __init__(self, settings: Settings, parts: Parts, metrics: Metrics) -> None:
        self._settings = settings
        self._parts = parts
        self._metrics = metrics
        self.service: Service | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif self.service is not None:
            await self.service.edge(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        wake_at_once()
        state = scope.setdefault("state", {})
        state.update({UNREADY: self._become_unready, DRAIN: self._drain})
        try:
            async with running_service(self._settings, self._parts, self._metrics) as service:
                self.service = service
                state[AT_ONCE] = service.edge
                _settle()
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            phase = "startup" if self.service is None else "shutdown"
            log.exception("the service failed", phase=phase)
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    def _become_unready(self) -> None:
        if self.service is not None:
            self.service.become_unready()

    def _drain(self) -> None:
        if self.service is not None:
            self.service.drain()


def create_app() -> App:
    """The application of a worker process, from the environment; what `keybearer serve` starts."""
    settings = load_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level)
    return App(settings, build_parts(settings), Metrics(REGISTRY))


def build_secret_keys(settings: Settings, storage: Storage, encryption: KeyEncryption) -> SecretKeys:
    """The life of the keys of a storage."""
    return SecretKeys(
        storage,
        encryption,
        SystemRandomness(),
        algorithm=settings.signing_algorithm,
        publish_seconds=settings.key_publish_seconds,
        policy=settings.session_policy,
    )


def _verifier(settings: Settings, loaded: LoadedKeys) -> AccessTokenVerifier:
    return AccessTokenVerifier(
        issuer=settings.issuer, audience=settings.audience, keys=loaded.key_set, algorithms=ALGORITHMS
    )


def _settle() -> None:
    """Take what lives as long as the process out of the garbage collector's rounds, which would stop every request.

    Nothing on the way of a request makes cycles, so rounds for the young may be far apart; it saves 3 % of a refresh.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)


async def _keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Background work that ends by a fault of ours is logged and begun again; the service fails closed meanwhile."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background work failed", work=name)
            await asyncio.sleep(1)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
