"""Operations on an SQLite file: one thread writes, with group commit, and one reads.

The writer takes all operations that wait, performs them in one transaction and commits once: at low load a transaction
is one operation, at high load one fsync carries hundreds. Other processes may use the file at the same time.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from uuid import UUID

from keybearer.credentials.refresh_token import make_binder
from keybearer.errors import StorageUnavailable
from keybearer.server.domain.sessions import SessionPolicy
from keybearer.server.ports import Clock, Randomness
from keybearer.server.storage.dialects import sqlite_sql
from keybearer.server.storage.statements import (
    Access,
    Combined,
    Operation,
    Repeat,
    Rows,
    Share,
    Shared,
    Statement,
    Step,
    Steps,
)
from keybearer.server.storage.stores import Stores

T = TypeVar("T")

BUSY_TIMEOUT = 3000
"""Milliseconds to wait for another process's transaction."""

BUSY_PAUSE = 0.01
"""Seconds between two attempts where SQLite does not wait by itself."""

MAX_BATCH = 500
"""Operations in one transaction; bounds how long the first of them waits for the last."""


def create_file(path: Path) -> None:
    """Make sure that the file exists, readable by its owner only. SQLite gives its other files the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageUnavailable("The database file cannot be opened.") from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing file, as durable as SQLite can be. Raises sqlite3.DatabaseError."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT / 1000,
        cached_statements=256,
        check_same_thread=False,  # opened and closed by one thread, used by one other
    )
    connection.row_factory = sqlite3.Row
    _switch_to_wal(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Where several open a new file at once, SQLite refuses some of them instead of letting them wait."""
    patience_until = time.monotonic() + BUSY_TIMEOUT / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the rest says why
            if not is_busy or time.monotonic() > patience_until:
                raise
            time.sleep(BUSY_PAUSE)
        else:
            return


def _to_sqlite(value: object) -> Any:
    return value.bytes if isinstance(value, UUID) else value


def _binder_of(nonce: bytes, session_id: bytes, place: int, moved_at: int) -> bytes:
    return make_binder(nonce, session_id, place, moved_at)


def perform(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    """Run a generator to its outcome, inside the transaction that is open."""
    try:
        step = next(steps)
        while True:
            step = steps.send(_take(connection, step))
    except StopIteration as done:
        outcome: T = done.value
        return outcome


def _take(connection: sqlite3.Connection, step: Step) -> Rows:
    match step:
        case Statement(sql, args):
            return connection.execute(sqlite_sql(sql), tuple(map(_to_sqlite, args))).fetchall()
        case Repeat(sql, rows_of_args):
            connection.executemany(sqlite_sql(sql), [tuple(map(_to_sqlite, args)) for args in rows_of_args])
            return ()
        case Combined(_, step_by_step):
            return perform(connection, step_by_step())
        case Share():
            raise TypeError("a statement is shared by operations of one statement only")


def _as_storage_error(error: Exception) -> Exception:
    """The file is locked, full, gone (OperationalError) or damaged (DatabaseError itself); all else is a defect."""
    if not isinstance(error, sqlite3.OperationalError) and type(error) is not sqlite3.DatabaseError:
        return error
    unavailable = StorageUnavailable()
    unavailable.__cause__ = error
    return unavailable


@dataclass(slots=True)
class _Job:
    """One operation that waits for its turn; `outcome` or `error` once it has had it."""

    operation: Operation[Any]
    future: "asyncio.Future[Any]"
    outcome: Any = None
    error: Exception | None = None


class _Run:
    """A job under way."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._steps = job.operation.start()

    @property
    def is_forsaken(self) -> bool:
        return self._job.future.cancelled()

    def go_on(self, connection: sqlite3.Connection, rows: Rows | None = None) -> Share | None:
        """To the outcome, or to a statement that it shares with others: with the rows of that it goes on again."""
        try:
            step = next(self._steps) if rows is None else self._steps.send(rows)
            while not isinstance(step, Share):
                step = self._steps.send(_take(connection, step))
        except StopIteration as done:
            self._job.outcome = done.value
            return None
        return step


_Sharing = tuple[_Run, Share]


def _in_turns(sharing: Iterable[_Sharing]) -> Iterable[list[_Sharing]]:
    """Those who share a statement, together; but of those with one key each in a turn of its own, in their order."""
    turns: dict[tuple[Shared, int], list[_Sharing]] = {}
    before: Counter[tuple[Shared, UUID]] = Counter()
    for member in sharing:
        statement, key = member[1].statement, member[1].key
        turns.setdefault((statement, before[statement, key]), []).append(member)
        before[statement, key] += 1
    return turns.values()


def _resolve(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue  # whoever asked has gone
        if job.error is None:
            job.future.set_result(job.outcome)
        else:
            job.future.set_exception(job.error)


class _Worker:
    """A thread with a connection of its own. It performs all operations that wait in one transaction at a time."""

    def __init__(self, name: str, connection: sqlite3.Connection, begin: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._begin = begin
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, operation: Operation[T]) -> T:
        if self._closed:
            raise StorageUnavailable("The storage is closed.")
        job = _Job(operation, self._loop.create_future())
        self._waiting.put(job)
        outcome: T = await job.future
        return outcome

    async def close(self) -> None:
        """Let what waits finish."""
        self._closed = True
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        batch, last = self._next_batch()
        while batch or not last:
            self._perform_together(batch)
            with suppress(RuntimeError):  # the loop was closed without closing the storage; nobody waits
                self._loop.call_soon_threadsafe(_resolve, batch)
            if last:
                break
            batch, last = self._next_batch()
        self._connection.close()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """What waits, at least one job; and whether it is the last, as `close` has been called."""
        job = self._waiting.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch, False
            try:
                job = self._waiting.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _perform_together(self, batch: list[_Job]) -> None:
        if self._in_transaction(lambda: self._perform_all(batch), batch) or len(batch) == 1:
            return
        for job in batch:  # one of them failed, and must not harm the others
            job.error = None
            self._in_transaction(lambda job=job: self._perform_all([job]), [job])  # type: ignore[misc]

    def _perform_all(self, batch: list[_Job]) -> None:
        # Whoever asked and has gone must not find it done.
        runs = [_Run(job) for job in batch if not job.future.cancelled()]
        sharing = [(run, share) for run in runs if (share := run.go_on(self._connection))]
        while sharing:
            sharing = [again for members in _in_turns(sharing) for again in self._perform_shared(members)]

    def _perform_shared(self, members: list[_Sharing]) -> list[_Sharing]:
        """A statement for all of them who still wait; those who come to another one then."""
        members = [(run, share) for run, share in members if not run.is_forsaken]
        if not members:
            return []
        statement = members[0][1].statement
        steps = statement.step_by_step([share.args for _, share in members], statement.common)
        rows = {row["id"]: (row,) for row in perform(self._connection, steps)}
        again = ((run, run.go_on(self._connection, rows.get(share.key.bytes, ()))) for run, share in members)
        return [(run, share) for run, share in again if share is not None]

    def _in_transaction(self, work: Callable[[], None], batch: list[_Job]) -> bool:
        """Do `work` and commit. False when it raised, and might succeed with fewer members; nothing is left of it then.

        When there can be no transaction at all, that is the answer for every member.
        """
        retry_singly = False
        try:
            self._connection.execute(self._begin)
            retry_singly = True
            work()
            retry_singly = False
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 (whatever it is, whoever asked is told)
            self._roll_back()
            for job in batch:
                job.error = _as_storage_error(error)
            return not retry_singly
        return True

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # no transaction is open: it never began, or SQLite has rolled it back itself
            self._connection.execute("ROLLBACK")


class SqliteStorage(Stores):
    """`ports.Storage` in one file. `clock` is the storage's clock."""

    def __init__(self, path: Path, policy: SessionPolicy, clock: Clock, randomness: Randomness) -> None:
        super().__init__(self, policy, randomness)
        self._path = path
        self._clock = clock
        self._writer: _Worker | None = None
        self._reader: _Worker | None = None

    async def open(self) -> None:
        """Creates the file when there is none; the tables are made by `schema.migrate`."""
        writing, reading = await asyncio.to_thread(self._connect)
        self._writer = _Worker("keybearer-writer", writing, "BEGIN IMMEDIATE")
        self._reader = _Worker("keybearer-reader", reading, "BEGIN")

    def _connect(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        create_file(self._path)
        try:
            connections = connect(self._path), connect(self._path)
        except sqlite3.DatabaseError as error:
            raise StorageUnavailable("The database file cannot be opened.") from error
        for connection in connections:
            connection.create_function("clock_ms", 0, self._clock.now)
            connection.create_function("binder_of", 4, _binder_of, deterministic=True)
        connections[1].execute("PRAGMA query_only = ON")
        return connections

    async def close(self) -> None:
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        for worker in (writer, reader):
            if worker is not None:
                await worker.close()

    async def run(self, operation: Operation[T], /) -> T:
        reads = operation.access in (Access.READ, Access.LOOKUP, Access.SNAPSHOT)
        worker = self._reader if reads else self._writer
        if worker is None:
            raise StorageUnavailable("The storage is not open.")
        return await worker.run(operation)
