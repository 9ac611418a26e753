"""Who runs the service: makes users and keys while it is under fault, disables users, and looks afterwards."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TypeVar

from keybearer.credentials.api_key import hash_api_key
from keybearer.errors import StorageUnavailable
from keybearer.server.adapters.common_passwords import CommonPasswords
from keybearer.server.adapters.password_hasher import ThreadedPasswordHasher
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.app import build_hasher, open_storage
from keybearer.server.domain.applications import ApplicationKind, Lifetimes
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.users import UserStatus
from keybearer.server.flows.administration import Administration, AdministrationError, Person
from keybearer.server.ports import Storage
from keybearer.server.settings import load_settings
from keybearer.server.storage.schema import migrate
from tests.faults.ground import Ground
from tests.faults.history import Journal

T = TypeVar("T")

APPLICATION = "Faults"
PASSWORD = "correct horse battery"
RETRY = 0.2


@dataclass(slots=True)
class Operator:
    """`users` are names by ids, `keys` texts: all that was acknowledged."""

    storage: Storage
    hasher: ThreadedPasswordHasher
    journal: Journal
    users: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    @property
    def _administration(self) -> Administration:
        actor = Actor("operator", agent="the tests of faults")
        return Administration(self.storage, self.hasher, SystemRandomness(), CommonPasswords(), actor)

    async def make_application(self) -> str:
        """Its publishable key."""
        _, key = await self._administration.create_application(APPLICATION, ApplicationKind.BROWSER, (), Lifetimes())
        self.keys.append(key.text)
        return key.text

    async def make_user(self) -> tuple[str, str]:
        """Id and name. Raises StorageUnavailable, and then nobody knows whether there is such a user."""
        name = f"user-{secrets.token_hex(6)}@faults.example"
        user = await self._administration.create_user(Person(name, "Jane", "Doe"), PASSWORD)
        self.users[str(user.id)] = name
        return str(user.id), name

    async def make_key(self) -> None:
        """Raises StorageUnavailable, as above."""
        created = await self._administration.create_key(APPLICATION, None, (), None)
        self.keys.append(created.text)

    async def disable(self, user_id: str, pause: float) -> None:
        """For a while: all sessions of the user end at once, and logins are refused meanwhile."""
        name = self.users[user_id]
        id = self.journal.ask("disable", user=user_id)
        await until_done(lambda: self._administration.set_user_enabled(name, enabled=False))
        self.journal.answer(id, 200)
        await asyncio.sleep(pause)
        await until_done(lambda: self._administration.set_user_enabled(name, enabled=True))

    async def missing(self) -> list[str]:
        """What was acknowledged and is not there."""
        found = {str(user.id): user for user in await self.storage.users.list_users(limit=100_000)}
        users = [f"user {id}" for id in self.users if id not in found or found[id].status is not UserStatus.ENABLED]
        hashes = {key.key_hash for key in await self.storage.api_keys.list_keys()}
        return users + [f"key {key[:8]}…" for key in self.keys if hash_api_key(key) not in hashes]


async def until_done(work: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await work()
        except StorageUnavailable:
            await asyncio.sleep(RETRY)


async def attempt(work: Callable[[], Awaitable[object]]) -> bool:
    """False when the database was away."""
    try:
        await work()
    except (StorageUnavailable, AdministrationError):
        return False
    return True


@asynccontextmanager
async def operating(ground: Ground) -> AsyncIterator[Operator]:
    """An operator of a service whose database is ready, with an application and nobody in it."""
    settings = load_settings(ground.environment)
    await asyncio.to_thread(migrate, settings.database)
    journal = Journal(ground.histories / "operator.jsonl")
    with closing(journal), closing(build_hasher(settings)) as hasher:
        async with open_storage(settings) as storage:
            yield Operator(storage, hasher, journal)
