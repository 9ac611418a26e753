"""What a run stands on: a database that can be made to fail, and how many replicas serve it."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncpg

from keybearer.base64url import encode_base64url
from tests.stage.processes import clean_environment
from tests.support.postgres import TemporaryServer

Backend = Literal["sqlite", "postgresql"]

WINDOW = 2
LIFETIME = 10
STALENESS = 10
"""The retry window, the life of an access token, and how long a process accepts tokens without seeing revocations: in
seconds, and short, so that a run of minutes holds many of each."""

_DURABLE = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "jit": "off",
}

_SETTINGS = {
    "KEYBEARER_ACCESS_TOKEN_LIFETIME": str(LIFETIME),
    "KEYBEARER_REFRESH_RETRY_WINDOW": str(WINDOW),
    "KEYBEARER_MAX_STALENESS": str(STALENESS),
    "KEYBEARER_ISSUER": "http://127.0.0.1:8100",
    "KEYBEARER_LOG_LEVEL": "info",
    "KEYBEARER_SHUTDOWN_GRACE": "5",
    "KEYBEARER_HASH_THREADS": "1",
    "KEYBEARER_HASH_PER_ADDRESS_LIMIT": "500",
    **{
        f"KEYBEARER_LIMIT_{name}": "1000000000"
        for name in ("NAME_KNOWN", "NAME_UNKNOWN", "ADDRESS", "NETWORK", "APPLICATION")
    },
}


@dataclass(frozen=True, slots=True)
class Ground:
    """`environment` are the settings of every replica; `server` is None for SQLite, which dies with its process."""

    backend: Backend
    home: Path
    environment: Mapping[str, str]
    replicas: int
    server: TemporaryServer | None = None

    @property
    def histories(self) -> Path:
        return self.home / "histories"

    @property
    def handed_out(self) -> Path:
        """Where client processes write down which credentials they were given; nobody else reads them."""
        return self.home / "handed-out"

    async def crash_database(self, pause: float) -> None:
        """The server's processes are killed, and started again after a while."""
        assert self.server is not None
        await asyncio.to_thread(self.server.crash)
        await asyncio.sleep(pause)
        await asyncio.to_thread(self.server.start)

    async def cut_database(self) -> int:
        """End all connections of the service; how many. None while the server is away."""
        assert self.server is not None
        try:
            connection = await asyncpg.connect(self.server.url())
        except (OSError, asyncpg.PostgresError):
            return 0
        try:
            return int(
                await connection.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'keybearer'"
                )
            )
        finally:
            await connection.close()


@contextmanager
def prepared(
    backend: Backend,
    *,
    replicas: int = 3,
    disk: Path | None = None,
    keep: Path | None = None,
    settings: Mapping[str, str] | None = None,
    launcher: Sequence[str] = (),
) -> Iterator[Ground]:
    """An empty database of its own, in a directory of `disk`. SQLite has one replica: its file is on one machine.
    Histories and logs are copied to `keep` in the end. `settings` go before those of a run; `launcher` is a command
    that runs PostgreSQL."""
    with _home(keep) as home:
        if backend == "sqlite":
            database = f"sqlite:///{(disk or home) / 'keybearer.db'}"
            yield Ground(backend, home, _environment(database, settings or {}), 1)
            return
        server = TemporaryServer(_DURABLE, launcher, parent=disk)
        try:
            yield Ground(backend, home, _environment(server.url(), settings or {}), replicas, server)
        finally:
            server.close()


@contextmanager
def _home(keep: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="keybearer-faults-") as name:
        home = Path(name)
        (home / "histories").mkdir()
        (home / "handed-out").mkdir()
        try:
            yield home
        finally:
            if keep is not None:
                shutil.copytree(home, keep, ignore=shutil.ignore_patterns("*.db*", "*.sql", "session-*", "handed-out"))


def _environment(database: str, settings: Mapping[str, str]) -> dict[str, str]:
    own = {"KEYBEARER_DATABASE": database, "KEYBEARER_KEY_ENCRYPTION_KEY": encode_base64url(secrets.token_bytes(32))}
    return {**clean_environment(), **_SETTINGS, **own, **settings}
