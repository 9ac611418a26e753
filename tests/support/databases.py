"""Fresh databases, cheap enough for one per test: copies of one that was migrated once."""

import asyncio
import os
import shutil
import sqlite3
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

import asyncpg

from keybearer.server.storage import schema
from tests.support.backends import Backend, PostgresBackend, SqliteBackend
from tests.support.clock import CREATE_CLOCK
from tests.support.postgres import Cluster, TemporaryServer

SERVER = "KEYBEARER_TEST_POSTGRES"
"""The environment variable that names a server (a URL) to be used instead of one of our own."""


class Database(Protocol):
    """One fresh database."""

    @property
    def url(self) -> str: ...

    async def connect(self) -> Backend:
        """The database with what a test does to it; for use in the loop that runs now."""


class Databases(Protocol):
    name: str
    version: str

    def new(self) -> "Database":
        """A migrated database without rows, of the test that asks."""

    def empty(self) -> str:
        """The URL of a database without tables."""

    def release(self) -> None:
        """Remove what `new` and `empty` have made since the last release."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    url: str

    async def connect(self) -> Backend:
        return SqliteBackend(Path(self.url.removeprefix("sqlite:///")))


class SqliteDatabases:
    name = "sqlite"

    def __init__(self, directory: Path) -> None:
        self.version = sqlite3.sqlite_version
        self._directory = directory
        self._template = directory / "template.sqlite"
        self._numbers = count(1)
        self._made: list[Path] = []
        schema.migrate(f"sqlite:///{self._template}")

    def new(self) -> Database:
        path = self._next()
        shutil.copyfile(self._template, path)
        return SqliteDatabase(f"sqlite:///{path}")

    def empty(self) -> str:
        return f"sqlite:///{self._next()}"

    def release(self) -> None:
        for directory in self._made:
            shutil.rmtree(directory)
        self._made = []

    def close(self) -> None:
        self.release()

    def _next(self) -> Path:
        directory = self._directory / str(next(self._numbers))
        directory.mkdir()
        self._made.append(directory)
        return directory / "keybearer.sqlite"


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    url: str

    async def connect(self) -> Backend:
        return await PostgresBackend.connect(self.url)


class PostgresDatabases:
    name = "postgresql"

    def __init__(self) -> None:
        url = os.environ.get(SERVER)
        self._server: TemporaryServer | None = None
        if url is None:
            self._server = TemporaryServer()
            url = self._server.url()
        self._cluster = Cluster(url)
        self.version = self._cluster.version
        self._template = self._cluster.create()
        self._made: list[str] = []
        template_url = self._cluster.url(self._template)
        schema.migrate(template_url)
        asyncio.run(create_clock(template_url))

    def new(self) -> Database:
        return PostgresDatabase(self._make(self._template))

    def empty(self) -> str:
        return self._make("template0")

    def release(self) -> None:
        for name in self._made:
            self._cluster.drop(name)
        self._made = []

    def close(self) -> None:
        self._cluster.close()
        if self._server is not None:
            self._server.close()

    def _make(self, template: str) -> str:
        name = self._cluster.create(template)
        self._made.append(name)
        return self._cluster.url(name)


async def create_clock(url: str) -> None:
    """Give a PostgreSQL database the clock that tests move."""
    connection = await asyncpg.connect(url)
    for statement in CREATE_CLOCK:
        await connection.execute(statement)
    await connection.close()
