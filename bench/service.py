"""The service under measurement: `keybearer serve`, as installed, pinned to one core, with data made by a generator."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

import httpx2

from keybearer.credentials.api_key import ApiKeyKind, hash_api_key, make_api_key
from keybearer.server.adapters.passwords.schemes import hash_password
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.app import build_key_encryption, build_secret_keys, open_storage
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.applications import Application, ApplicationKind
from keybearer.server.domain.audit import SERVICE
from keybearer.server.domain.ids import RANDOM_BYTES, uuid7
from keybearer.server.domain.sessions import Grant, NewSession
from keybearer.server.domain.users import NewUser, User
from keybearer.server.flows.issue import IssuedTokens, TokenIssuer
from keybearer.server.flows.keyring import Keyring
from keybearer.server.ports import Storage
from keybearer.server.settings import load_settings
from keybearer.server.storage.schema import migrate
from tests.support.ports import free_port
from tests.support.postgres import TemporaryServer

SERVER_CORE = 0
LOAD_CORE = 1
AT_ONCE = 32
"""Sessions that are made at the same time."""
PASSWORD = "correct-horse-battery"
_DURABLE = {
    "listen_addresses": "",
    "synchronous_commit": "on",
    "fsync": "on",
    "shared_buffers": "256MB",
    "max_connections": "100",
}
_LIMITS = ("LIMIT_NAME_KNOWN", "LIMIT_NAME_UNKNOWN", "LIMIT_ADDRESS", "LIMIT_NETWORK", "LIMIT_APPLICATION")


@dataclass(frozen=True, slots=True)
class Bench:
    """One database, its settings as environment variables, the directory for the load's files and that of its own."""

    name: str
    directory: Path
    files: Path
    environment: Mapping[str, str]

    @property
    def database(self) -> str:
        return self.environment["KEYBEARER_DATABASE"]

    def start(self, module: str = "keybearer", **extra: str) -> "RunningService":
        """`module` is what is run instead of `keybearer`, with the same commands."""
        return RunningService(self, module, extra)

    def write(self, name: str, lines: Iterable[str]) -> None:
        """A data file of the load's."""
        (self.directory / name).write_text("\n".join(lines) + "\n")


@contextmanager
def sqlite_bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="keybearer-bench-", dir=Path.cwd()) as directory:
        yield _bench("SQLite", Path(directory), Path(directory), f"sqlite:///{directory}/bench.db")


@contextmanager
def durable_postgres() -> Iterator[TemporaryServer]:
    """A PostgreSQL that waits for the disk at each commit, on the load's core."""
    server = TemporaryServer(_DURABLE, ("taskset", "-c", str(LOAD_CORE)))
    try:
        yield server
    finally:
        server.close()


@contextmanager
def postgres_bench() -> Iterator[Bench]:
    with (
        durable_postgres() as server,
        tempfile.TemporaryDirectory(prefix="keybearer-bench-", dir=Path.cwd()) as directory,
    ):
        yield _bench("PostgreSQL", Path(directory), Path(server.host) / "data", server.url())


def _bench(name: str, directory: Path, files: Path, database: str) -> Bench:
    migrate(database)
    limits = {f"KEYBEARER_{limit}": "1000000000" for limit in _LIMITS}
    own = {
        "KEYBEARER_DATABASE": database,
        "KEYBEARER_KEY_ENCRYPTION_KEY": "A" * 43,
        "KEYBEARER_ISSUER": "http://127.0.0.1:8100",
        "KEYBEARER_LOG_LEVEL": "warning",
        "KEYBEARER_HASH_THREADS": "1",
        "KEYBEARER_HASH_QUEUE_LIMIT": "1200",
        "KEYBEARER_HASH_PER_ADDRESS_LIMIT": "1200",
        **limits,
    }
    return Bench(name, directory, files, own)


class RunningService:
    """`keybearer serve` in a process of its own; a context manager."""

    def __init__(self, bench: Bench, module: str, extra: Mapping[str, str]) -> None:
        self._bench = bench
        self._module = module
        self._extra = {f"KEYBEARER_{name.upper()}": value for name, value in extra.items()}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.seconds_to_first_answer = 0.0

    def __enter__(self) -> Self:
        environment = {**os.environ, **self._bench.environment, **self._extra, "KEYBEARER_PORT": str(self.port)}
        started = time.perf_counter()
        self._log = (self._bench.directory / "service.log").open("ab")
        command = ("taskset", "-c", str(SERVER_CORE), sys.executable, "-m", self._module, "serve")
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log)
        self._wait()
        self.seconds_to_first_answer = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def memory(self) -> int:
        """Resident memory of the service, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def _wait(self) -> None:
        for _ in range(6000):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None:
                    raise RuntimeError((self._bench.directory / "service.log").read_text()[-2000:]) from None
                time.sleep(0.005)
            else:
                break
        httpx2.get(f"{self.url}/health/ready").raise_for_status()


@dataclass(frozen=True, slots=True)
class World:
    """What the generator made: an application, a publishable key and one for guards, and users."""

    storage: Storage
    issuer: TokenIssuer
    application: Application
    api_key: str
    guard_key: str
    users: list[User]

    async def sessions(self, count: int, *, of: Sequence[UUID] = (), within: int = 0) -> list[IssuedTokens]:
        """New sessions with both tokens, made without a login, of the world's users or of those in turn.

        Their ids are of any moments in so many milliseconds before now, and so lie anywhere among other sessions.
        """
        users = of or [user.id for user in self.users]
        made: list[IssuedTokens] = []
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, count))
            made += await asyncio.gather(*(self._session(users[number % len(users)], within) for number in numbers))
        return made

    async def _session(self, user_id: UUID, within: int) -> IssuedTokens:
        random = SystemRandomness()
        before = within * int.from_bytes(random.bytes(4)) >> 32
        new = NewSession(
            id=uuid7(await self.storage.now() - before, random.bytes(RANDOM_BYTES)),
            user_id=user_id,
            application_id=self.application.id,
            password_version=1,
            nonce=random.bytes(16),
            token_key_id=self.issuer.keyring.current.active_refresh_id,
            name_bucket=b"none",
            place_hash=b"p" * 32,
        )
        grant = await self.storage.sessions.create(new, SERVICE)
        if not isinstance(grant, Grant):
            raise TypeError(f"no session was made: {grant}")
        return self.issuer.issue(grant)


@asynccontextmanager
async def generated_world(bench: Bench, *, users: int) -> AsyncIterator[World]:
    """An application, a key and users (all with one password) in the bench's database."""
    settings = load_settings(bench.environment)
    random = SystemRandomness()
    async with open_storage(settings) as storage:
        keys = build_secret_keys(settings, storage, build_key_encryption(settings))
        await keys.ensure()
        issuer = TokenIssuer(Keyring(await keys.load()), random, settings.issuer, settings.audience)
        now = await storage.now()
        application = Application(uuid7(now, random.bytes(10)), "Bench", ApplicationKind.BROWSER, (), created_at=now)
        await storage.applications.create(application, SERVICE)
        api_key = await _key(storage, application, ApiKeyKind.PUBLISHABLE)
        guard_key = await _key(storage, application, ApiKeyKind.SECRET, "guard")
        password_hash = hash_password(PASSWORD.encode())
        made = [await _user(storage, number, password_hash, now) for number in range(users)]
        yield World(storage, issuer, application, api_key, guard_key, made)


async def _key(storage: Storage, application: Application, kind: ApiKeyKind, *permissions: str) -> str:
    random = SystemRandomness()
    text = make_api_key(kind, random.bytes(32))
    key = ApiKey(
        id=uuid7(application.created_at, random.bytes(10)),
        application_id=application.id,
        kind=kind,
        key_hash=hash_api_key(text),
        hint=text[:8],
        permissions=frozenset(permissions),
        created_at=application.created_at,
    )
    await storage.api_keys.create(key, SERVICE)
    return text


async def _user(storage: Storage, number: int, password_hash: str, now: int) -> User:
    new = NewUser(
        id=uuid7(now, SystemRandomness().bytes(10)),
        email=f"user{number}@example.com",
        phone=None,
        first_name="User",
        last_name=str(number),
        password_hash=password_hash,
    )
    user = await storage.users.create(new, SERVICE)
    if not isinstance(user, User):
        raise TypeError(f"no user was made: {user}")
    return user
