"""Who and what a test is about, made in few words: applications, users, logins and their refresh tokens."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from uuid import UUID

from keybearer.credentials.refresh_token import NONCE_BYTES, PresentedToken, make_refresh_token, parse_refresh_token
from keybearer.server.domain.applications import Application, ApplicationKind, Lifetimes
from keybearer.server.domain.attempts import Allowance, Attempt, Charge, ChargeOutcome
from keybearer.server.domain.audit import Actor, AuditKind
from keybearer.server.domain.ids import RANDOM_BYTES, uuid7
from keybearer.server.domain.sessions import (
    Ended,
    EndReason,
    EndRefused,
    Grant,
    Moved,
    NewSession,
    Presentation,
    RefreshOutcome,
    Repeated,
    Session,
    SessionPolicy,
    SessionRefused,
)
from keybearer.server.domain.users import LoginRecord, NewUser, User
from keybearer.server.ports import IdentifierTaken, Storage
from tests.support.backends import Backend
from tests.support.clock import FakeClock
from tests.support.randomness import SeededRandomness

HOME = Actor("client", address="192.0.2.1", agent="Home/1.0", request_id="home")
ELSEWHERE = Actor("client", address="198.51.100.7", agent="Elsewhere/1.0", request_id="elsewhere")
OPERATOR = Actor("operator", agent="keybearer")

REFRESH_KEYS = {1: b"\x01" * 32, 2: b"\x02" * 32}
"""Refresh-token keys by id: 1 is the active one unless a test says otherwise."""

PASSWORD_HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"


def token_of(session: Session) -> PresentedToken:
    """The refresh token of the row, as a client would present it."""
    return token_at(session, session.place, session.moved_at)


def token_at(session: Session, place: int, moved_at: int) -> PresentedToken:
    """An authentic token of this session at any place and time."""
    text = make_refresh_token(
        REFRESH_KEYS[session.token_key_id],
        key_id=session.token_key_id,
        session_id=session.id,
        place=place,
        moved_at=moved_at,
        nonce=session.nonce,
    )
    token = parse_refresh_token(text)
    assert token is not None
    return token


def grant_of(outcome: RefreshOutcome | Grant | SessionRefused) -> Grant:
    """What was granted; the test fails when nothing was."""
    match outcome:
        case Moved(grant) | Repeated(grant):
            return grant
        case Grant():
            return outcome
        case _:
            raise AssertionError(f"refused: {outcome!r}")


def answered(outcome: RefreshOutcome) -> PresentedToken:
    """The refresh token with which a presentation was answered."""
    return token_of(grant_of(outcome).session)


async def charged(storage: Storage, charge: Charge) -> ChargeOutcome:
    """What comes of an attempt under a name that nobody has, charged to this bucket alone (and to an application)."""
    attempt = Attempt(Charge(b"application".ljust(32), Allowance(1)), (charge,), (charge,))
    return (await storage.attempts.admit("nobody", b"place", lambda _: attempt)).outcome


async def login_record(storage: Storage, identifier: str, place_hash: bytes) -> LoginRecord | None:
    """What a login under this name knows of the user: the same before it is admitted and when it is."""
    application = Charge(b"application".ljust(32), Allowance(1))
    admission = await storage.attempts.admit(identifier, place_hash, lambda _: Attempt(application, (), ()))
    record = admission.record
    at_home = record.user_id if record is not None and record.known_place else None
    assert await storage.attempts.find_at_home(identifier, place_hash) == at_home
    return record


def hash_of(key: str | None) -> bytes | None:
    return None if key is None else sha256(key.encode()).digest()


@dataclass
class World:
    """A storage with a few people in it. `randomness` makes ids, nonces and names."""

    backend: Backend
    storage: Storage
    policy: SessionPolicy
    randomness: SeededRandomness = field(default_factory=lambda: SeededRandomness(1))
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def clock(self) -> FakeClock:
        return self.backend.clock

    def new_id(self) -> UUID:
        return uuid7(self.clock.now(), self.randomness.bytes(RANDOM_BYTES))

    async def reopen(self) -> None:
        """As when the service restarts: this storage is closed, and another one opened on the database."""
        await self.backend.close(self.storage)
        self.storage = await self.backend.open(self.policy)

    async def application(self, lifetimes: Lifetimes = Lifetimes(), *, name: str = "shop") -> Application:
        application = Application(
            id=self.new_id(),
            name=name,
            kind=ApplicationKind.BROWSER,
            origins=("https://shop.example",),
            created_at=self.clock.now(),
            lifetimes=lifetimes,
        )
        await self.storage.applications.create(application, OPERATOR)
        return application

    def new_user(self, email: str | None = None, phone: str | None = None) -> NewUser:
        return NewUser(
            id=self.new_id(),
            email=email or f"user{next(self._numbers)}-{self.randomness.bytes(4).hex()}@example.com",
            phone=phone,
            first_name="Jane",
            last_name="Doe",
            password_hash=PASSWORD_HASH,
        )

    async def user(self, email: str | None = None, phone: str | None = None) -> User:
        user = await self.storage.users.create(self.new_user(email, phone), OPERATOR)
        assert not isinstance(user, IdentifierTaken)
        return user

    def new_session(self, user: User, application: Application, *, password_version: int = 1) -> NewSession:
        return NewSession(
            id=self.new_id(),
            user_id=user.id,
            application_id=application.id,
            password_version=password_version,
            nonce=self.randomness.bytes(NONCE_BYTES),
            token_key_id=1,
            name_bucket=sha256(user.id.bytes).digest(),
            place_hash=sha256(b"place").digest(),
        )

    async def log_in(
        self, user: User | None = None, application: Application | None = None, *, actor: Actor = HOME
    ) -> "Login":
        """A session of this user in this application, or of new ones."""
        user = user or await self.user()
        application = application or await self.application()
        grant = grant_of(await self.storage.sessions.create(self.new_session(user, application), actor))
        return Login(self, user, application, grant)

    async def audited(self, kind: AuditKind) -> int:
        """How many events of this kind the trail has."""
        return sum(event.event.kind is kind for event in await self.storage.audit.list_events(limit=10_000))


OpenWorld = Callable[..., Awaitable[World]]
"""`await open_world(policy)`: another storage on the test's database, with this policy."""


@dataclass
class Login:
    """A client with a session. `token` is the refresh token that it holds; `present` changes it as a client would."""

    world: World
    user: User
    application: Application
    grant: Grant
    token: PresentedToken = field(init=False)

    def __post_init__(self) -> None:
        self.token = token_of(self.grant.session)

    @property
    def id(self) -> UUID:
        return self.grant.session.id

    def presentation(
        self, token: PresentedToken | None = None, *, key: str | None = None, application_id: UUID | None = None
    ) -> Presentation:
        return Presentation(token or self.token, application_id or self.application.id, hash_of(key), 1)

    async def present(
        self, token: PresentedToken | None = None, *, key: str | None = None, actor: Actor = HOME
    ) -> RefreshOutcome:
        """Redeem a token, the one held by default; a token that is answered is held from then on."""
        outcome = await self.world.storage.sessions.refresh(self.presentation(token, key=key), actor)
        if isinstance(outcome, Moved | Repeated):
            self.grant = outcome.grant
            self.token = token_of(self.grant.session)
        return outcome

    async def move(self, *, key: str | None = None) -> PresentedToken:
        """Move the chain on; the token that has become the current one."""
        outcome = await self.present(key=key)
        assert isinstance(outcome, Moved), outcome
        return self.token

    async def end(self) -> Ended | EndRefused:
        return await self.world.storage.sessions.end(self.id, EndReason.LOGOUT, HOME)

    async def row(self) -> Session:
        session = await self.world.storage.sessions.find(self.id)
        assert session is not None
        return session

    async def is_alive(self) -> bool:
        """Whether the session can still be refreshed."""
        alive = await self.world.storage.sessions.list_alive(self.user.id)
        return self.id in {view.session.id for view in alive}

    def at_place(self, place: int, moved_at: int | None = None) -> PresentedToken:
        """An authentic token of this session at any place."""
        session = self.grant.session
        return token_at(session, place, session.moved_at if moved_at is None else moved_at)


def with_other_binder(token: PresentedToken) -> PresentedToken:
    """What only a holder of the key, who never saw the row, could make: the MAC holds, the binder does not."""
    return replace(token, binder=bytes(len(token.binder)))
