"""What the stage's service knows from the start: two applications with their keys, and users."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field

from keybearer.credentials.api_key import ApiKeyKind
from keybearer.server.adapters.common_passwords import CommonPasswords
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.app import build_hasher, open_storage
from keybearer.server.cli.working import make_ready
from keybearer.server.domain.applications import ApplicationKind, Lifetimes
from keybearer.server.domain.audit import Actor
from keybearer.server.flows.administration import Administration, Person
from keybearer.server.settings import load_settings
from tests.stage.documents import StageUser

APPLICATION = "Stage"
OTHER_APPLICATION = "Other"
USERS = 5


@dataclass(frozen=True, slots=True)
class Furniture:
    """Empty before it is made."""

    publishable_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    guard_key: str = field(default="", repr=False)
    other_publishable_key: str = field(default="", repr=False)
    users: tuple[StageUser, ...] = ()


class Furnisher:
    """Writes to the database that the settings of `environment` name, which the service reads."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._settings = load_settings(environment)

    async def furnish(self, origins: Sequence[str], lifetimes: Lifetimes) -> Furniture:
        """Make all that the stage begins with. Both applications allow `origins`."""
        await asyncio.to_thread(make_ready, self._settings)
        async with self._administration() as to:
            _, publishable = await to.create_application(APPLICATION, ApplicationKind.BROWSER, origins, lifetimes)
            _, other = await to.create_application(OTHER_APPLICATION, ApplicationKind.BROWSER, origins, lifetimes)
            secret = await to.create_key(APPLICATION, ApiKeyKind.SECRET, (), None)
            guard = await to.create_key(APPLICATION, ApiKeyKind.SECRET, ("guard",), None)
            users = await asyncio.gather(*(_make_user(to) for _ in range(USERS)))
        return Furniture(publishable.text, secret.text, guard.text, other.text, tuple(users))

    async def make_user(self) -> StageUser:
        async with self._administration() as to:
            return await _make_user(to)

    @asynccontextmanager
    async def _administration(self) -> AsyncIterator[Administration]:
        actor = Actor("operator", agent="the stage of the tests")
        async with open_storage(self._settings) as storage:
            with closing(build_hasher(self._settings)) as hasher:
                yield Administration(storage, hasher, SystemRandomness(), CommonPasswords(), actor)


async def _make_user(to: Administration) -> StageUser:
    name, password = f"user-{secrets.token_hex(5)}@stage.example", secrets.token_urlsafe(18)
    user = await to.create_user(Person(name, "Jane", "Doe"), password)
    return StageUser(name, password, str(user.id))
