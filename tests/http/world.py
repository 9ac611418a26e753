"""A service on a real socket with a database of its own, and what a test does to it over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvicorn
from prometheus_client import CollectorRegistry

from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, hash_api_key, make_api_key
from keybearer.server.adapters.key_encryption import AesGcmKeyEncryption
from keybearer.server.adapters.metrics import Metrics
from keybearer.server.adapters.password_hasher import ThreadedPasswordHasher
from keybearer.server.app import App, Parts, Service
from keybearer.server.cli.serve import server_config
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.applications import Application, ApplicationKind
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.ids import uuid7
from keybearer.server.domain.users import NewUser, User
from keybearer.server.ports import Storage
from keybearer.server.settings import Settings, load_settings
from tests.support.backends import Backend
from tests.support.clock import FakeClock
from tests.support.randomness import SeededRandomness

OPERATOR = Actor("operator")
PASSWORD = "correct horse battery"
ORIGIN = "https://app.example.com"
BASE = "/v1/api"
HANG = 60.0
HASH_THREADS = 2


@dataclass(slots=True)
class World:
    """One service. `key` is the publishable key of `application`, `secret` its secret one; `user` can log in."""

    service: Service
    storage: Storage
    clock: FakeClock
    hasher: ThreadedPasswordHasher
    client: httpx2.AsyncClient
    address: tuple[str, int]
    registry: CollectorRegistry
    randomness: SeededRandomness = field(default_factory=lambda: SeededRandomness(7))
    application: Application = field(init=False)
    key: str = field(init=False)
    secret: str = field(init=False)
    user: User = field(init=False)

    async def populate(self) -> None:
        self.application = await self.add_application("Shop")
        self.key = (await self.add_key(self.application, ApiKeyKind.PUBLISHABLE))[0]
        self.secret = (await self.add_key(self.application, ApiKeyKind.SECRET))[0]
        self.user = await self.add_user("jane@example.com", phone="+41446681800")
        await self.service.follower.catch_up()

    async def add_application(self, name: str, origins: tuple[str, ...] = (ORIGIN,)) -> Application:
        now = self.clock.now()
        application = Application(
            uuid7(now, self.randomness.bytes(10)), name, ApplicationKind.BROWSER, origins, created_at=now
        )
        await self.storage.applications.create(application, OPERATOR)
        return application

    async def add_key(
        self,
        application: Application,
        kind: ApiKeyKind,
        *,
        expires_at: int | None = None,
        permissions: frozenset[str] = frozenset(),
    ) -> tuple[str, ApiKey]:
        text = make_api_key(kind, self.randomness.bytes(RANDOM_BYTES))
        now = self.clock.now()
        key = ApiKey(
            id=uuid7(now, self.randomness.bytes(10)),
            application_id=application.id,
            kind=kind,
            key_hash=hash_api_key(text),
            hint=text[:8],
            permissions=permissions,
            created_at=now,
            expires_at=expires_at,
        )
        await self.storage.api_keys.create(key, OPERATOR)
        await self.service.follower.catch_up()
        return text, key

    async def add_user(self, email: str, *, phone: str | None = None, password: str = PASSWORD) -> User:
        new = NewUser(
            id=uuid7(self.clock.now(), self.randomness.bytes(10)),
            email=email,
            phone=phone,
            first_name="Jane",
            last_name="Doe",
            password_hash=await self.hasher.hash(password),
        )
        user = await self.storage.users.create(new, OPERATOR)
        assert isinstance(user, User)
        return user

    async def request(
        self, method: str, path: str, *, key: str | None = "", token: str | None = None, **options: Any
    ) -> httpx2.Response:
        """A request with the credentials that are given; `key` defaults to the publishable one, None sends none."""
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["Api-Key"] = key or self.key
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.request(method, path, headers=headers, **options)

    async def log_in(
        self, username: str = "jane@example.com", password: str = PASSWORD, **options: Any
    ) -> httpx2.Response:
        body = {"username": username, "password": password}
        return await self.request("POST", f"{BASE}/oauth/token", json=body, **options)

    async def session(self, **options: Any) -> dict[str, Any]:
        """The attributes of a new session's document."""
        answer = await self.log_in(**options)
        assert answer.status_code == 200, answer.text
        return attributes(answer)

    async def refresh(self, refresh_token: object, **options: Any) -> httpx2.Response:
        return await self.request(
            "POST", f"{BASE}/oauth/token/refresh", json={"refresh_token": refresh_token}, **options
        )

    async def info(self, token: str | None, **options: Any) -> httpx2.Response:
        return await self.request("GET", f"{BASE}/oauth/token/info", token=token, **options)

    async def revoke(self, token: str | None, refresh_token: str | None = None, **options: Any) -> httpx2.Response:
        if refresh_token is not None:
            options["json"] = {"refresh_token": refresh_token}
        return await self.request("POST", f"{BASE}/oauth/token/revoke", token=token, **options)

    async def advance(self, seconds: float) -> None:
        """Let time pass; what the service knows of revocations is as fresh afterwards as it was before."""
        await self.clock.advance(seconds)
        await self.service.follower.catch_up()

    async def send_raw(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and read until the service closes it or 2 s pass."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(data)
        received = b""
        try:
            async with asyncio.timeout(2):
                while chunk := await reader.read(65536):
                    received += chunk
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return received


def attributes(answer: httpx2.Response) -> dict[str, Any]:
    result: dict[str, Any] = answer.json()["data"]["attributes"]
    return result


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal, after checking the form that every error document has."""
    errors = answer.json()["errors"]
    first = errors[0]
    assert first["status"] == str(answer.status_code)
    assert first["meta"]["requestId"] == answer.headers["x-request-id"]
    assert first["title"] and first["detail"]
    return answer.status_code, first["code"]


def settings_for(backend: Backend, extra: Mapping[str, str]) -> Settings:
    environment = {
        "KEYBEARER_DATABASE": backend.database_url,
        "KEYBEARER_ISSUER": "https://auth.example.com",
        "KEYBEARER_KEY_ENCRYPTION_KEY": "A" * 43,
        **{f"KEYBEARER_{name.upper()}": value for name, value in extra.items()},
    }
    return load_settings(environment, None)


@asynccontextmanager
async def running(
    backend: Backend, extra: Mapping[str, str] | None = None, *, populated: bool = True
) -> AsyncIterator[World]:
    """A world, served until the block ends. `extra` are settings, by their names without the prefix."""
    settings = settings_for(backend, extra or {})
    randomness = SeededRandomness()
    hasher = ThreadedPasswordHasher(
        threads=HASH_THREADS,
        queue_limit=settings.hash_queue_limit,
        share_limit=settings.hash_per_address_limit,
        wait_limit=settings.hash_wait_limit,
    )
    storage = backend.build(settings.session_policy)
    registry = CollectorRegistry()
    parts = Parts(storage, hasher, AesGcmKeyEncryption(b"k" * 32, randomness), backend.clock, randomness)
    app = App(settings, parts, Metrics(registry))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        server = uvicorn.Server(server_config(app, settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not serving.done(), "the service did not start"
            await asyncio.sleep(0.005)
        assert app.service is not None
        try:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}", timeout=HANG) as client:
                world = World(app.service, storage, backend.clock, hasher, client, address, registry)
                if populated:
                    await world.populate()
                yield world
        finally:
            server.should_exit = True
            await serving
