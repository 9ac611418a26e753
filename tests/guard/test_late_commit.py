"""A revoking transaction has done its work and commits seconds later: no guard misses what it has revoked.

The replicas and PostgreSQL are processes of their own. A trigger in the database holds the transaction until the test
lets it go; the code that revokes and the replicas, through which the guards follow, know nothing of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from bench.service import Bench, World, generated_world, postgres_bench
from keybearer.errors import AccessTokenRevoked
from keybearer.guard import Credentials, Guard
from keybearer.server.domain.audit import SERVICE
from keybearer.server.domain.sessions import Ended, EndReason
from keybearer.server.flows.issue import IssuedTokens
from keybearer.server.storage import postgres
from tests.guard.test_real_service import HANG, eventually, known, outcome

REPLICAS = 2
LATE = 2.0
"""Seconds at least by which the commit is late. The service itself gives up a commit after 5."""

UNNUMBERED = """
    CREATE TRIGGER late AFTER UPDATE ON session
    FOR EACH ROW WHEN (NEW.id = '{session}') EXECUTE FUNCTION hold()"""
"""Holds the transaction that ends `session` when it has ended it, and has no position in the feed yet."""

COMMITTING = """
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON revocation DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.subject_id = '{session}') EXECUTE FUNCTION hold()"""
"""Holds it in its commit: all of its work is done, and it has a position."""

_HOLD = """
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'"""
_WAITING = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = $1)"
_ENTRIES = "SELECT subject_id FROM revocation WHERE kind = 'session' ORDER BY position"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The patience is that of this process, which revokes; the replicas have their own."""
    monkeypatch.setattr(postgres, "STATEMENT_TIMEOUT", 3 * HANG)
    with postgres_bench() as bench:
        yield bench


@dataclass(frozen=True, slots=True)
class Scene:
    """Replicas, and what the test does beside them: `connection` holds transactions, and looks."""

    world: World
    urls: tuple[str, ...]
    connection: "asyncpg.Connection[asyncpg.Record]"
    stack: AsyncExitStack

    async def guard(self, replica: int) -> Guard:
        """One that has started, until the scene ends."""
        guard = Guard(self.urls[replica], self.world.guard_key)
        self.stack.push_async_callback(asyncio.to_thread, guard.close)
        await asyncio.to_thread(guard.start, HANG)
        return guard

    def revoke(self, tokens: IssuedTokens) -> "asyncio.Task[Ended]":
        """End the session of these tokens, as an operator's command does."""

        async def end() -> Ended:
            ended = await self.world.storage.sessions.end(session_of(tokens), EndReason.ADMINISTRATOR, SERVICE)
            assert isinstance(ended, Ended)
            return ended

        return asyncio.create_task(end())

    def credentials(self, tokens: IssuedTokens) -> Credentials:
        return Credentials(self.world.api_key, f"Bearer {tokens.access_token}")

    @asynccontextmanager
    async def revoking(self, tokens: IssuedTokens, trigger: str) -> AsyncIterator[None]:
        """The session of these tokens is being ended by a transaction, which is held until the block ends."""
        await self.connection.execute(_HOLD)
        await self.connection.execute(trigger.format(session=session_of(tokens)))
        await self.connection.execute("SELECT pg_advisory_lock(1)")
        revoking = self.revoke(tokens)
        try:
            await until(lambda: self._waits("advisory"))
            yield
        finally:
            await self.connection.execute("SELECT pg_advisory_unlock(1)")
            await revoking

    async def has_passed_or_waits(self, revoking: "asyncio.Task[Ended]") -> bool:
        """Whether another revocation has committed, or waits for the transaction that is held."""
        return revoking.done() or await self._waits("transactionid")

    async def _waits(self, event: str) -> bool:
        return bool(await self.connection.fetchval(_WAITING, event))


@asynccontextmanager
async def playing(bench: Bench) -> AsyncIterator[Scene]:
    async with generated_world(bench, users=3) as world, AsyncExitStack() as stack:
        replicas = [stack.enter_context(bench.start()) for _ in range(REPLICAS)]
        connection = await asyncpg.connect(bench.environment["KEYBEARER_DATABASE"])
        stack.push_async_callback(connection.close)
        yield Scene(world, tuple(f"{replica.url}/v1/api" for replica in replicas), connection, stack)


def session_of(tokens: IssuedTokens) -> UUID:
    return tokens.grant.session.id


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(HANG):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.postgres
@pytest.mark.slow
async def test_a_revoking_transaction_that_commits_seconds_late_is_not_skipped(bench: Bench) -> None:
    """Whoever revokes after it waits for its commit, and no guard does: what they know is as fresh as ever."""
    async with playing(bench) as scene:
        late, later, good = await scene.world.sessions(3)
        guards = [await scene.guard(replica) for replica in range(REPLICAS)]
        async with scene.revoking(late, COMMITTING):
            revoking = scene.revoke(later)
            await until(lambda: scene.has_passed_or_waits(revoking))
            await pass_seconds(scene, guards)
            assert [outcome(guard, scene.credentials(late)) for guard in guards] == [None] * len(guards)
        await revoking
        await require_revoked(scene, guards, (late, later))
        assert [outcome(guard, scene.credentials(good)) for guard in guards] == [None] * len(guards)


@pytest.mark.postgres
@pytest.mark.slow
async def test_who_has_no_position_yet_holds_nobody_up_and_gets_a_later_one(bench: Bench) -> None:
    async with playing(bench) as scene:
        late, sooner, good = await scene.world.sessions(3)
        guards = [await scene.guard(replica) for replica in range(REPLICAS)]
        async with scene.revoking(late, UNNUMBERED):
            async with asyncio.timeout(HANG):
                await scene.revoke(sooner)
            await refused_by(guards, scene.credentials(sooner))
            await pass_seconds(scene, guards)
            assert [outcome(guard, scene.credentials(late)) for guard in guards] == [None] * len(guards)
        await require_revoked(scene, guards, (sooner, late))
        assert [outcome(guard, scene.credentials(good)) for guard in guards] == [None] * len(guards)


async def pass_seconds(scene: Scene, guards: list[Guard]) -> None:
    """Until some time has passed of which every guard knows, one that starts now and takes its snapshot included."""
    now = time.time() * 1000
    guards.append(await scene.guard(0))
    await eventually(lambda: all(as_of(guard) > now for guard in guards))
    await asyncio.sleep(LATE)


def as_of(guard: Guard) -> int:
    return guard._knowledge.state.as_of or 0


async def refused_by(guards: list[Guard], credentials: Credentials) -> None:
    await eventually(lambda: all(outcome(guard, credentials) is AccessTokenRevoked for guard in guards))


async def require_revoked(scene: Scene, guards: list[Guard], order: tuple[IssuedTokens, ...]) -> None:
    """The guards refuse these tokens, whose revocations stand in the feed in this order; they know what the service's
    snapshot says, and have not had to take it a second time."""
    for tokens in order:
        await refused_by(guards, scene.credentials(tokens))
    fresh = await scene.guard(1)
    assert [known(guard) for guard in guards] == [known(fresh)] * len(guards)
    assert {guard.metrics.snapshots for guard in guards} == {1}
    entries = await scene.connection.fetch(_ENTRIES)
    assert [row["subject_id"] for row in entries] == [session_of(tokens) for tokens in order]
