"""Operations on a PostgreSQL server, over a pool of connections that opens and recovers by itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import asyncpg

from keybearer.errors import Overloaded, ServiceError, StorageUnavailable
from keybearer.server.domain.sessions import SessionPolicy
from keybearer.server.ports import Randomness
from keybearer.server.storage.batching import Batches
from keybearer.server.storage.dialects import POSTGRES_CLOCK, postgres_sql
from keybearer.server.storage.primary import connect_to_primary
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
)
from keybearer.server.storage.stores import Stores

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]

T = TypeVar("T")

CONNECT_TIMEOUT = 2.0
"""Seconds to wait for a connection, a free one or a new one."""

STATEMENT_TIMEOUT = 5.0
"""Seconds after which a statement is given up: the server, or the way to it, hangs."""

ADMISSION_TIMEOUT = 30.0
"""Seconds that a login waits for others which came before it: longer than those take for whom there is room."""

BULK_TIMEOUT = 600.0
"""The same for operations over very many rows."""

ABANDONED_AFTER = 10
"""Seconds after which the server rolls back a transaction whose process says nothing more: were it cut off while it
holds the feed's counter, nobody could revoke anything until the network noticed."""

ATTEMPTS = 5
"""How often a transaction is tried that the server ended in favour of another one."""

UNAVAILABLE: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresSystemError,
    asyncpg.PostgresIOError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # the server has become a standby
    asyncpg.UndefinedTableError,  # not migrated yet
    asyncpg.UndefinedColumnError,
)
"""What says that the database cannot be asked now, rather than that the question was wrong."""


CANNOT_CONNECT: tuple[type[BaseException], ...] = (*UNAVAILABLE, ValueError)
"""The same while connecting; a ValueError is a URL that cannot be parsed."""


def unavailable(error: BaseException) -> StorageUnavailable:
    """The same as our own exception. It names what happened and never quotes the URL, which holds a password."""
    return StorageUnavailable(f"The database cannot be reached ({type(error).__name__}).")


async def perform(operation: Operation[T], take: Callable[[Step], Awaitable[Rows]]) -> T:
    """Run an operation's generator to its outcome; `take` performs a step."""
    steps = operation.start()
    try:
        step = next(steps)
        while True:
            step = steps.send(await take(step))
    except StopIteration as done:
        outcome: T = done.value
        return outcome


async def _keep_state(_: object) -> None:
    """Between two operations nothing is reset: none leaves a setting, a cursor or a lock behind. Saves a round trip."""


class PostgresStorage(Stores):
    """`ports.Storage` on a server. `clock_sql` is the expression for the storage's clock; tests put another there."""

    def __init__(
        self,
        url: str,
        policy: SessionPolicy,
        randomness: Randomness,
        *,
        pool_size: int = 10,
        clock_sql: str = POSTGRES_CLOCK,
    ) -> None:
        super().__init__(self, policy, randomness)
        self._url = url
        self._pool_size = pool_size
        self._clock_sql = clock_sql
        self._admissions = asyncio.Semaphore(max(1, pool_size // 2))
        self._waits = asyncio.Semaphore(max(1, pool_size // 4))
        self._batches: dict[Shared, Batches] = {}
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._accepts = False
        self._under_way = 0
        self._idle = asyncio.Event()

    async def open(self) -> None:
        """Connects to nothing yet, so that the service starts, and resumes, whenever the server does."""
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                connect=connect_to_primary,
                min_size=0,
                max_size=self._pool_size,
                timeout=CONNECT_TIMEOUT,
                command_timeout=STATEMENT_TIMEOUT,
                max_inactive_connection_lifetime=300,
                reset=_keep_state,
                server_settings={
                    "application_name": "keybearer",
                    "default_transaction_isolation": "read committed",
                    "idle_in_transaction_session_timeout": f"{ABANDONED_AFTER}s",
                    "plan_cache_mode": "force_generic_plan",  # every statement goes by keys: planning is pure cost
                    "jit": "off",
                },
            )
        except CANNOT_CONNECT as error:
            raise unavailable(error) from None
        self._accepts = True

    async def close(self) -> None:
        """Refuse what comes now, and let finish what waits for a batch or a connection, or has one."""
        pool, self._accepts = self._pool, False
        if pool is None:
            return
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT):
                while self._under_way:
                    self._idle.clear()
                    await self._idle.wait()
                await pool.close()
        except TimeoutError:
            pool.terminate()
        self._pool = None

    async def run(self, operation: Operation[T], /) -> T:
        if not self._accepts:
            raise StorageUnavailable("The storage is not open.")
        self._under_way += 1
        try:
            return await self._run(operation)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _run(self, operation: Operation[T]) -> T:
        if operation.access is not Access.ADMISSION:
            return await self._repeated(operation)
        async with _turn(self._admissions, ADMISSION_TIMEOUT, Overloaded()):
            return await self._repeated(operation)

    async def _repeated(self, operation: Operation[T]) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._attempt(operation)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                continue
        return await self._attempt(operation)

    async def _attempt(self, operation: Operation[T]) -> T:
        if operation.access in (Access.SINGLE, Access.LOOKUP):
            return await perform(operation, self._take_single)
        async with self._connection() as connection:
            seconds = BULK_TIMEOUT if operation.access is Access.BULK else STATEMENT_TIMEOUT
            take = partial(self._take, connection, seconds)
            match operation.access:
                case Access.READ | Access.ADMISSION:
                    return await perform(operation, take)
                case Access.SNAPSHOT:
                    async with connection.transaction(isolation="repeatable_read", readonly=True):
                        return await perform(operation, take)
                case Access.TRANSACTION | Access.BULK:
                    async with connection.transaction():
                        return await perform(operation, take)

    async def _take_single(self, step: Step) -> Rows:
        if isinstance(step, Share):
            return await self._batches_of(step.statement).rows_for(step)
        return await self._fetch(lambda: step)

    async def _fetch(self, prepare: Callable[[], Step | None]) -> Rows:
        async with self._connection() as connection:
            step = prepare()
            return () if step is None else await self._take(connection, STATEMENT_TIMEOUT, step)

    async def _fetch_patiently(self, prepare: Callable[[], Step | None]) -> Rows:
        async with _turn(self._waits, CONNECT_TIMEOUT, StorageUnavailable("The database does not keep up.")):
            return await self._fetch(prepare)

    async def _take(self, connection: "Connection", seconds: float, step: Step) -> Rows:
        match step:
            case Statement(sql, args) | Combined(Statement(sql, args), _):
                return await connection.fetch(postgres_sql(sql, self._clock_sql), *args, timeout=seconds)
            case Repeat(sql, rows_of_args):
                await connection.executemany(postgres_sql(sql, self._clock_sql), rows_of_args, timeout=seconds)
                return ()
            case Share():
                raise TypeError("a statement is shared by operations of one statement only")

    def _batches_of(self, statement: Shared) -> Batches:
        batches = self._batches.get(statement)
        if batches is None:
            batches = Batches(statement, self._fetch, self._fetch_patiently, CONNECT_TIMEOUT)
            self._batches[statement] = batches
        return batches

    def _connection(self) -> "AbstractAsyncContextManager[Connection]":
        if self._pool is None:
            raise StorageUnavailable("The storage is not open.")
        return _acquired(self._pool)


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore, seconds: float, refusal: ServiceError) -> AsyncIterator[None]:
    """A turn for the block; raises the refusal when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            await turns.acquire()
    except TimeoutError:
        raise refusal from None
    try:
        yield
    finally:
        turns.release()


@asynccontextmanager
async def _acquired(pool: "asyncpg.Pool[asyncpg.Record]") -> "AsyncIterator[Connection]":
    """A connection of the pool for the block. What says that there is no database raises StorageUnavailable."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):  # the pool's own argument for it costs a task
            connection = await pool.acquire()
    except CANNOT_CONNECT as error:
        raise unavailable(error) from None  # its message may quote the URL
    try:
        try:
            yield connection
        finally:
            await pool.release(connection, timeout=CONNECT_TIMEOUT)
    except UNAVAILABLE as error:
        if isinstance(error, ValueError):
            raise  # asyncpg's word for arguments of the wrong type: a defect of ours
        raise unavailable(error) from error
