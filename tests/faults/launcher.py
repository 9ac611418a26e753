"""`python -m tests.faults.launcher serve`: the service as installed, that kills itself at a named point.

KEYBEARER_TEST_CRASH names the point and which pass by it is the last: `after_commit:37`. Without it the service serves.
Only what the composition root puts together is wrapped; the service itself knows nothing of it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, TypeVar

from keybearer.server import app as composition
from keybearer.server.cli.main import app as commands
from keybearer.server.flows import upkeep
from keybearer.server.http.request import Receive, Scope, Send
from keybearer.server.ports import Clock, Randomness, Storage
from keybearer.server.settings import Settings
from keybearer.server.storage import sqlite
from keybearer.server.storage.postgres import PostgresStorage
from keybearer.server.storage.sqlite import SqliteStorage
from keybearer.server.storage.statements import Access, Operation, Repeat, Rows, Statement, Step, Steps

T = TypeVar("T")

VARIABLE = "KEYBEARER_TEST_CRASH"
UPKEEP = "KEYBEARER_TEST_UPKEEP"
"""Seconds between two rounds of the service's upkeep, where a test does not wait for a minute."""

AMID_STATEMENT = "amid_statement"
"""Within three milliseconds of handing the first statement of a change to the database."""
AMID_BATCH = "amid_batch"
"""SQLite: of a transaction that several share, a statement has changed something, and another that does begins.
Refreshes that are done together have two of them."""
BEFORE_COMMIT = "before_commit"
"""All statements of a change are done, and nothing is committed. A change of one statement commits itself on
PostgreSQL: there it is the moment before that statement."""
AFTER_COMMIT = "after_commit"
"""The change is committed, and nothing has been made of it."""
BEFORE_ANSWER = "before_answer"
"""The answer is complete, and nothing of it has been sent."""

POINTS = (AMID_STATEMENT, AMID_BATCH, BEFORE_COMMIT, AFTER_COMMIT, BEFORE_ANSWER)

SOON = 0.003

_READS = (Access.READ, Access.SNAPSHOT)
_SINGLE = (Access.SINGLE, Access.ADMISSION)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class Fate:
    """Where this process ends. `left` passes by `point` go well but for the last."""

    point: str = ""
    left: int = 0
    is_in_batch: bool = False
    changes_in_batch: int = 0

    @classmethod
    def parse(cls, text: str) -> "Fate":
        point, _, passes = text.partition(":")
        if point not in POINTS:
            raise SystemExit(f"{VARIABLE} takes one of {', '.join(POINTS)}, a colon and a number.")
        return cls(point, int(passes))

    def reach(self, point: str) -> None:
        if self._is_last(point):
            die()

    def reach_soon(self, point: str) -> None:
        if self._is_last(point):
            threading.Timer(SOON * (os.urandom(1)[0] / 255), die).start()

    def _is_last(self, point: str) -> bool:
        if point != self.point:
            return False
        self.left -= 1
        return self.left == 0

    def watched(self, operation: Operation[T], *, commits_itself: bool) -> Operation[T]:
        """The same operation, which passes by the points on its way."""

        def steps() -> Steps[T]:
            self.reach_soon(AMID_STATEMENT)
            if commits_itself:
                self.reach(BEFORE_COMMIT)
            outcome = yield from operation.start()
            if not commits_itself:
                self.reach(BEFORE_COMMIT)
            return outcome

        return Operation(operation.access, steps)


FATE = Fate.parse(os.environ[VARIABLE]) if VARIABLE in os.environ else Fate()


class _Worker(sqlite._Worker):
    """Knows where a transaction begins."""

    def _perform_together(self, batch: list[sqlite._Job]) -> None:
        if batch and batch[0].operation.access not in _READS:
            FATE.is_in_batch, FATE.changes_in_batch = len(batch) > 1, 0
        super()._perform_together(batch)


def _watch_changes(take: Callable[[Connection, Step], Rows]) -> Callable[[Connection, Step], Rows]:
    """Counts the statements that change something. On SQLite none of these begins with its conditions."""

    def watched(connection: Connection, step: Step) -> Rows:
        changes = isinstance(step, Statement | Repeat) and not step.sql.startswith(("SELECT", "WITH"))
        if changes and FATE.is_in_batch and FATE.changes_in_batch:
            FATE.reach(AMID_BATCH)
        rows = take(connection, step)
        FATE.changes_in_batch += changes
        return rows

    return watched


class _Sqlite(SqliteStorage):
    async def run(self, operation: Operation[T], /) -> T:
        if operation.access in _READS:
            return await super().run(operation)
        outcome = await super().run(FATE.watched(operation, commits_itself=False))
        FATE.reach(AFTER_COMMIT)
        return outcome


class _Postgres(PostgresStorage):
    async def run(self, operation: Operation[T], /) -> T:
        if operation.access in _READS:
            return await super().run(operation)
        outcome = await super().run(FATE.watched(operation, commits_itself=operation.access in _SINGLE))
        FATE.reach(AFTER_COMMIT)
        return outcome


def _build_storage(settings: Settings, clock: Clock, randomness: Randomness) -> Storage:
    if settings.sqlite_path is not None:
        return _Sqlite(settings.sqlite_path, settings.session_policy, clock, randomness)
    return _Postgres(settings.database, settings.session_policy, randomness, pool_size=settings.database_pool_size)


class _App:
    """The application, which passes by a point before it answers a change."""

    def __init__(self, app: composition.App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_watched(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and scope["method"] == "POST" and message["status"] == 200:
                FATE.reach(BEFORE_ANSWER)
            await send(message)

        await self._app(scope, receive, send_watched)


def _end_with_parent() -> None:
    """Whoever has started this process holds its standard input open."""
    while os.read(0, 1):
        pass
    die()


def main(arguments: Sequence[str]) -> None:
    create_app = composition.create_app
    composition.build_storage = _build_storage
    composition.create_app = lambda: _App(create_app())  # type: ignore[assignment,return-value]
    patched: Any = sqlite
    patched._Worker = _Worker
    patched._take = _watch_changes(sqlite._take)
    upkeep.INTERVAL = float(os.environ.get(UPKEEP, upkeep.INTERVAL))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    commands(list(arguments), prog_name="keybearer")


if __name__ == "__main__":
    main(sys.argv[1:])
