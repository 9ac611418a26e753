"""What the flows need of the world, as protocols. The composition root (`app.py`) chooses who fulfils them.

Storage methods are atomic, each one transaction with a named outcome; a change that ends or alters a credential writes
its entry of the feed, and every change its line of the audit trail, in that same transaction. Time inside the storage
is the storage's own (`design: Time`): the database's clock on PostgreSQL, the process's anchored clock on SQLite.
Every method may raise `keybearer.errors.StorageUnavailable`, and then it is unknown whether a change was made.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
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
    SessionRefused,
    SessionView,
)
from keybearer.server.domain.users import NewUser, User, UserStatus


class Clock(Protocol):
    def now(self) -> int:
        """Milliseconds since the Unix epoch. Never steps back within a process."""


class Randomness(Protocol):
    def bytes(self, count: int) -> bytes:
        """`count` bytes from the system's cryptographic generator."""


class KeyEncryption(Protocol):
    """Seals secret keys with the key-encryption key, which no database and no backup contains."""

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """The sealed form; `context` (what the key is for) must be given again to open it."""

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """The plaintext. Raises `KeyEncryptionError` when the key or the context is another one."""

    def derive(self, label: bytes) -> bytes:
        """32 bytes for one use (the limiter's HMACs), the same for every process with this key-encryption key."""


class KeyEncryptionError(Exception):
    """A sealed key cannot be opened: the key-encryption key is not the one with which it was sealed."""


@dataclass(frozen=True, slots=True)
class PasswordVerdict:
    """`rehashed` is a new hash of the same password, when it was right and its stored hash is not of the current
    kind."""

    right: bool
    rehashed: str | None = None


class VerifyPassword(Protocol):
    async def __call__(
        self,
        password_hash: str | None,
        password: str,
        *,
        known_place: bool,
        gone: asyncio.Future[None] | None = None,
    ) -> PasswordVerdict:
        """Exactly one verification, of equal cost when there is no such user (`password_hash` None; never right).

        `gone` is done when nobody waits any more. Raises `errors.Overloaded` to whoever has gone, or has waited for too
        long, before the verification began.
        """


class PasswordHasher(Protocol):
    """Hashes passwords away from the event loop, with bounded work in hand."""

    def room(self, *shares: bytes, known_place: bool) -> AbstractContextManager[VerifyPassword]:
        """For the block: room for one verification, which is claimed before anything else is done for it.

        Nothing has more than its share of all room: where the attempt comes from, and whatever else is named after it.
        Half of the room is for known places only. Entering raises `errors.Overloaded` when there is none.
        """

    def keeps_room(self, source: bytes) -> bool:
        """Whether there is room for an attempt from there, but for known places only."""

    async def hash(self, password: str) -> str:
        """A PHC string of the current scheme, for a password that is to be stored."""


class SessionStore(Protocol):
    async def create(self, new: NewSession, actor: Actor) -> Grant | SessionRefused:
        """Insert a session at place 0, if user and application are enabled and the password version is unchanged.

        Also, in the same transaction: ends the user's oldest sessions beyond `MAX_SESSIONS_PER_USER`, removes the
        bucket `name_bucket`, remembers `place_hash` as a known place (20 a user, the oldest go).
        """

    async def refresh(self, presentation: Presentation, actor: Actor) -> RefreshOutcome:
        """Decide about a presented token, by the table of contract.md section 3, and move the chain if it says so.

        The decision is made on the row as it stands under its lock, never on one read earlier.
        """

    async def end(self, session_id: UUID, reason: EndReason, actor: Actor) -> Ended | EndRefused:
        """End one session. `UNKNOWN` when there is none, `ALREADY_ENDED` or `EXPIRED` when nothing was left to end."""

    async def end_presented(self, presentation: Presentation, actor: Actor, *, all_devices: bool) -> Ended | EndRefused:
        """End the session of an authentic refresh token, whatever its place; with `all_devices` all of its user's.

        `all_devices` needs the current token (`NOT_CURRENT` otherwise, and then nothing has changed).
        """

    async def end_owned(self, user_id: UUID, session_id: UUID, actor: Actor) -> Ended | EndRefused:
        """End a session if it is the user's; `UNKNOWN` for somebody else's."""

    async def end_all(
        self, user_id: UUID, reason: EndReason, actor: Actor, *, keep: UUID | None = None
    ) -> tuple[int, int]:
        """End all sessions of a user but `keep`: (how many were alive, when). Without `keep` the user's `ver` rises."""

    async def find(self, session_id: UUID) -> Session | None:
        """The row, ended or not."""

    async def list_alive(self, user_id: UUID | None, *, limit: int = 100) -> Sequence[SessionView]:
        """Sessions that can still be refreshed, newest first; of all users when `user_id` is None."""


@dataclass(frozen=True, slots=True)
class IdentifierTaken:
    """Another user has the email or the phone."""

    identifier: str


class UserStore(Protocol):
    async def create(self, new: NewUser, actor: Actor) -> User | IdentifierTaken:
        """Insert a user with its identifiers and its password, version 1."""

    async def find(self, user_id: UUID) -> User | None: ...

    async def find_by_identifier(self, identifier: str) -> User | None: ...

    async def list_users(self, *, limit: int = 1000, after: UUID | None = None) -> Sequence[User]:
        """In the order of their ids, which is the order in which they were made."""

    async def set_status(self, user_id: UUID, status: UserStatus, actor: Actor) -> User | None:
        """Enable or disable; None when there is no such user. Disabling ends all sessions and raises `ver`; enabling
        restores none. A status that is set already changes nothing."""

    async def set_password(self, user_id: UUID, password_hash: str, actor: Actor) -> User | None:
        """A new password: its version and `ver` rise, all sessions end. None when there is no such user."""

    async def replace_password_hash(self, user_id: UUID, old_hash: str, new_hash: str, actor: Actor) -> bool:
        """The same password under a better scheme: nothing ends, no version rises. False when the hash has changed."""

    async def set_roles(
        self, user_id: UUID, *, add: frozenset[str] = frozenset(), remove: frozenset[str] = frozenset(), actor: Actor
    ) -> User | None:
        """Change the roles, keeping them sorted; `ver` rises when they differ from before. None: no such user."""


class ApplicationStore(Protocol):
    async def create(self, application: Application, actor: Actor) -> None: ...

    async def find(self, application_id: UUID) -> Application | None: ...

    async def list_applications(self) -> Sequence[Application]:
        """In the order in which they were made."""

    async def set_enabled(self, application_id: UUID, enabled: bool, actor: Actor) -> Application | None:
        """Enable or disable; None when there is none. Disabling ends all sessions of it; enabling restores none."""


class ApiKeyStore(Protocol):
    async def create(self, key: ApiKey, actor: Actor) -> None: ...

    async def list_keys(self, application_id: UUID | None = None) -> Sequence[ApiKey]:
        """Of one application, or of all, in the order in which they were made."""

    async def revoke(self, key_id: UUID, actor: Actor) -> ApiKey | None:
        """Revoke at once and for good; None when there is no such key. A revoked key stays as it is."""

    async def record_use(self, used: Sequence[tuple[UUID, int]]) -> None:
        """Note when keys were last used: (key id, instant). An earlier instant than the noted one changes nothing."""


class SecretKeyStore(Protocol):
    async def list_keys(self) -> Sequence[SecretKey]:
        """All keys, the oldest first."""

    async def add(self, key: SecretKey, actor: Actor) -> bool:
        """Add a key. False, and nothing added, when its purpose has one in the same state (next or active) already."""

    async def activate(self, key_id: int, actor: Actor) -> bool:
        """next → active, and the active key of its purpose → retired. False when the key is not next, or not usable yet
        by the storage's clock."""

    async def remove_retired(self, purpose: KeyPurpose, retired_before: int, actor: Actor) -> int:
        """Remove the keys of a purpose that were retired before this instant; how many."""


class Feed(Protocol):
    async def snapshot(self) -> FeedSnapshot:
        """The whole state, read at one point of the log."""

    async def tail(self, epoch: str, position: int) -> FeedTail:
        """What was committed after `position` of `epoch`."""


class AttemptStore(Protocol):
    async def find_at_home(self, identifier: str, place_hash: bytes) -> UUID | None:
        """The user whose normalised identifier it is, if `place_hash` is one of his known places. Charges nothing."""

    async def admit(self, identifier: str, place_hash: bytes, assess: Assess) -> Admission:
        """Look up whose normalised identifier it is (`known_place` when `place_hash` is one of the user's places), and
        charge the attempt that `assess` makes of it. Each charge is atomic: n charges at once are n charges."""


class AuditStore(Protocol):
    async def record(self, event: AuditEvent) -> None:
        """Write one event that belongs to no other change."""

    async def list_events(self, *, limit: int = 100, before: int | None = None) -> Sequence[RecordedEvent]:
        """The newest first; with `before` (an event's id), those that are older."""


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows a cleaning has taken away."""

    sessions: int = 0
    entries: int = 0
    attempts: int = 0
    audit_events: int = 0
    known_places: int = 0

    @property
    def total(self) -> int:
        return self.sessions + self.entries + self.attempts + self.audit_events + self.known_places


class Storage(Protocol):
    """One database. `open` connects (and checks the schema); `close` lets what is under way finish."""

    sessions: SessionStore
    users: UserStore
    applications: ApplicationStore
    api_keys: ApiKeyStore
    secret_keys: SecretKeyStore
    feed: Feed
    attempts: AttemptStore
    audit: AuditStore

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def now(self) -> int:
        """The storage's clock, by which it measures; a round trip, and so also the health check."""

    async def begin_epoch(self, actor: Actor) -> EpochBegun:
        """For a database that has gone back in time (a restore, a failover that lost commits): what followed its log
        takes the snapshot, and every process and guard loads the keys again.

        The version of the key set and the `ver` of every user rise above all that the lost time may have given. What
        the lost time had ended is not ended any more.
        """

    async def start_over(self, keys: Sequence[SecretKey], actor: Actor) -> EpochBegun:
        """The same, and no token that was issued before holds any longer: all sessions end, and `keys`, an active one
        of each purpose, take the place of all others."""

    async def remove_expired(self, *, limit: int, audit_before: int) -> Removed:
        """Remove at most `limit` rows of each kind: sessions whose absolute limit (or whose end and last access token)
        has passed, expired feed entries, buckets worth nothing, audit events before `audit_before`, places of 90
        days."""
