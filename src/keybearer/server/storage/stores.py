"""The ports' methods, each an operation that a runner performs. The same for every database."""

from collections.abc import Sequence
from uuid import UUID

from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.applications import Application
from keybearer.server.domain.attempts import Admission, Assess
from keybearer.server.domain.audit import Actor, AuditEvent, RecordedEvent
from keybearer.server.domain.revocations import EpochBegun, FeedSnapshot, FeedTail
from keybearer.server.domain.secret_keys import KeyPurpose, SecretKey
from keybearer.server.domain.sessions import (
    Ended,
    EndReason,
    EndRefused,
    Grant,
    NewSession,
    Presentation,
    RefreshOutcome,
    Session,
    SessionPolicy,
    SessionRefused,
    SessionView,
)
from keybearer.server.domain.users import NewUser, User, UserStatus
from keybearer.server.ports import (
    ApiKeyStore,
    ApplicationStore,
    AttemptStore,
    AuditStore,
    IdentifierTaken,
    Randomness,
    Removed,
    SecretKeyStore,
    SessionStore,
    UserStore,
)
from keybearer.server.ports import Feed as FeedPort
from keybearer.server.storage.operations import (
    api_keys,
    applications,
    attempts,
    epochs,
    feed,
    maintenance,
    refresh,
    secret_keys,
    sessions,
    trail,
    users,
)
from keybearer.server.storage.statements import Runner

EPOCH_BYTES = 16


class Sessions:
    def __init__(self, runner: Runner, policy: SessionPolicy) -> None:
        self._runner = runner
        self._policy = policy

    async def create(self, new: NewSession, actor: Actor) -> Grant | SessionRefused:
        return await self._runner.run(sessions.create(new, actor, self._policy))

    async def refresh(self, presentation: Presentation, actor: Actor) -> RefreshOutcome:
        return await self._runner.run(refresh.refresh(presentation, actor, self._policy))

    async def end(self, session_id: UUID, reason: EndReason, actor: Actor) -> Ended | EndRefused:
        return await self._runner.run(sessions.end(session_id, reason, actor))

    async def end_presented(self, presentation: Presentation, actor: Actor, *, all_devices: bool) -> Ended | EndRefused:
        return await self._runner.run(sessions.end_presented(presentation, actor, self._policy, all_devices))

    async def end_owned(self, user_id: UUID, session_id: UUID, actor: Actor) -> Ended | EndRefused:
        return await self._runner.run(sessions.end_owned(user_id, session_id, actor))

    async def end_all(
        self, user_id: UUID, reason: EndReason, actor: Actor, *, keep: UUID | None = None
    ) -> tuple[int, int]:
        return await self._runner.run(sessions.end_all(user_id, reason, actor, self._policy, keep))

    async def find(self, session_id: UUID) -> Session | None:
        return await self._runner.run(sessions.find(session_id))

    async def list_alive(self, user_id: UUID | None, *, limit: int = 100) -> Sequence[SessionView]:
        return await self._runner.run(sessions.list_alive(user_id, limit))


class Users:
    def __init__(self, runner: Runner, policy: SessionPolicy) -> None:
        self._runner = runner
        self._policy = policy

    async def create(self, new: NewUser, actor: Actor) -> User | IdentifierTaken:
        return await self._runner.run(users.create(new, actor))

    async def find(self, user_id: UUID) -> User | None:
        return await self._runner.run(users.find(user_id))

    async def find_by_identifier(self, identifier: str) -> User | None:
        return await self._runner.run(users.find_by_identifier(identifier))

    async def list_users(self, *, limit: int = 1000, after: UUID | None = None) -> Sequence[User]:
        return await self._runner.run(users.list_users(limit, after))

    async def set_status(self, user_id: UUID, status: UserStatus, actor: Actor) -> User | None:
        return await self._runner.run(users.set_status(user_id, status, actor, self._policy))

    async def set_password(self, user_id: UUID, password_hash: str, actor: Actor) -> User | None:
        return await self._runner.run(users.set_password(user_id, password_hash, actor, self._policy))

    async def replace_password_hash(self, user_id: UUID, old_hash: str, new_hash: str, actor: Actor) -> bool:
        return await self._runner.run(users.replace_password_hash(user_id, old_hash, new_hash, actor))

    async def set_roles(
        self, user_id: UUID, *, add: frozenset[str] = frozenset(), remove: frozenset[str] = frozenset(), actor: Actor
    ) -> User | None:
        return await self._runner.run(users.set_roles(user_id, add, remove, actor, self._policy))


class Applications:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def create(self, application: Application, actor: Actor) -> None:
        await self._runner.run(applications.create(application, actor))

    async def find(self, application_id: UUID) -> Application | None:
        return await self._runner.run(applications.find(application_id))

    async def list_applications(self) -> Sequence[Application]:
        return await self._runner.run(applications.list_applications())

    async def set_enabled(self, application_id: UUID, enabled: bool, actor: Actor) -> Application | None:
        return await self._runner.run(applications.set_enabled(application_id, enabled, actor))


class ApiKeys:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def create(self, key: ApiKey, actor: Actor) -> None:
        await self._runner.run(api_keys.create(key, actor))

    async def list_keys(self, application_id: UUID | None = None) -> Sequence[ApiKey]:
        return await self._runner.run(api_keys.list_keys(application_id))

    async def revoke(self, key_id: UUID, actor: Actor) -> ApiKey | None:
        return await self._runner.run(api_keys.revoke(key_id, actor))

    async def record_use(self, used: Sequence[tuple[UUID, int]]) -> None:
        await self._runner.run(api_keys.record_use(used))


class SecretKeys:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def list_keys(self) -> Sequence[SecretKey]:
        return await self._runner.run(secret_keys.list_keys())

    async def add(self, key: SecretKey, actor: Actor) -> bool:
        return await self._runner.run(secret_keys.add(key, actor))

    async def activate(self, key_id: int, actor: Actor) -> bool:
        return await self._runner.run(secret_keys.activate(key_id, actor))

    async def remove_retired(self, purpose: KeyPurpose, retired_before: int, actor: Actor) -> int:
        return await self._runner.run(secret_keys.remove_retired(purpose, retired_before, actor))


class Feed:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def snapshot(self) -> FeedSnapshot:
        return await self._runner.run(feed.snapshot())

    async def tail(self, epoch: str, position: int) -> FeedTail:
        return await self._runner.run(feed.tail(epoch, position))


class Attempts:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def find_at_home(self, identifier: str, place_hash: bytes) -> UUID | None:
        return await self._runner.run(attempts.find_at_home(identifier, place_hash))

    async def admit(self, identifier: str, place_hash: bytes, assess: Assess) -> Admission:
        return await self._runner.run(attempts.admit(identifier, place_hash, assess))


class Audit:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def record(self, event: AuditEvent) -> None:
        await self._runner.run(trail.record(event))

    async def list_events(self, *, limit: int = 100, before: int | None = None) -> Sequence[RecordedEvent]:
        return await self._runner.run(trail.list_events(limit, before))


class Stores:
    """What both storages are: the stores over a runner, which each of them is itself."""

    def __init__(self, runner: Runner, policy: SessionPolicy, randomness: Randomness) -> None:
        self._runner = runner
        self._randomness = randomness
        self.sessions: SessionStore = Sessions(runner, policy)
        self.users: UserStore = Users(runner, policy)
        self.applications: ApplicationStore = Applications(runner)
        self.api_keys: ApiKeyStore = ApiKeys(runner)
        self.secret_keys: SecretKeyStore = SecretKeys(runner)
        self.feed: FeedPort = Feed(runner)
        self.attempts: AttemptStore = Attempts(runner)
        self.audit: AuditStore = Audit(runner)

    async def now(self) -> int:
        return await self._runner.run(maintenance.now())

    async def begin_epoch(self, actor: Actor) -> EpochBegun:
        return await self._runner.run(epochs.begin_epoch(self._new_epoch(), actor))

    async def start_over(self, keys: Sequence[SecretKey], actor: Actor) -> EpochBegun:
        return await self._runner.run(epochs.start_over(self._new_epoch(), keys, actor))

    def _new_epoch(self) -> str:
        return self._randomness.bytes(EPOCH_BYTES).hex()

    async def remove_expired(self, *, limit: int, audit_before: int) -> Removed:
        now = await self.now()
        return Removed(
            sessions=await self._runner.run(maintenance.remove_sessions(now, limit)),
            entries=await self._runner.run(maintenance.remove_entries(now, limit)),
            attempts=await self._runner.run(maintenance.remove_attempts(limit)),
            audit_events=await self._runner.run(maintenance.remove_audit_events(audit_before, limit)),
            known_places=await self._runner.run(maintenance.remove_known_places(now, limit)),
        )
