"""PostgreSQL fails over to a standby while the service is used.

A synchronous standby has everything that was acknowledged: nothing is lost, and there is nothing to be done. An
asynchronous one lacks the last commits: what that costs is counted here, and told in docs/operations.md.
"""

import asyncio
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import asyncpg
import pytest

from keybearer.server.domain.audit import AuditKind
from keybearer.server.storage.primary import connect_to_primary
from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.checker import check
from tests.faults.front import Front
from tests.faults.ground import WINDOW, Ground, prepared
from tests.faults.history import Reader
from tests.faults.operating import PASSWORD, until_done
from tests.faults.orders import Orders
from tests.faults.scene import WITHIN, Scene, new_key, opened
from tests.faults.trial import RULES, _ClientProcess
from tests.faults.wire import Reply, Request
from tests.stage.processes import ROOT
from tests.support.postgres import TemporaryServer
from tests.support.postgres_standby import Standby

CLIENTS = 40
USERS = 4

LOAD_SECONDS = 4.0
"""Before the failure, and after the service is back."""

DETECTION_SECONDS = 1.0
"""From the failure until the standby is promoted."""

CONNECT_WITHIN = 5.0
"""Seconds after which a server that hangs is given up."""

Failure = Callable[[TemporaryServer], None]

FAILURES: dict[str, Failure] = {"killed": TemporaryServer.crash, "hangs": TemporaryServer.freeze}
"""A machine that hangs, or is gone, takes connections and says nothing, or does not even refuse them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary with a standby, and a ground whose replicas know both."""

    ground: Ground
    primary: TemporaryServer
    standby: Standby


@contextmanager
def paired() -> Iterator[Pair]:
    with prepared("postgresql", replicas=2) as alone:
        assert alone.server is not None
        standby = Standby(alone.server)
        environment = {**alone.environment, "KEYBEARER_DATABASE": standby.url_of_both()}
        try:
            yield Pair(replace(alone, environment=environment), alone.server, standby)
        finally:
            standby.close()
            switch_off(alone.server)


def switch_off(server: TemporaryServer) -> None:
    """It may have crashed, or hang."""
    if server.is_running:
        server.crash()


async def decided(scene: Scene, request: Request, at: int = 0) -> Reply:
    """The first answer that is one; a replica that has lost its database answers 503."""
    async with asyncio.timeout(WITHIN):
        while True:
            reply = await scene.ask(request, at)
            if reply is not None and reply.status != 503:
                return reply
            await asyncio.sleep(0.05)


async def refreshed(scene: Scene, held: Held, at: int = 0, *, key: str | None = None) -> tuple[int, str]:
    """Status and code."""
    reply = await decided(scene, calls.refresh(scene.api_key, held, key or new_key()), at)
    return reply.status, reply.code


# --- which server ---------------------------------------------------------------------------------------------------


@contextmanager
def hanging_server(home: Path) -> Iterator[Path]:
    """Its host: connections are taken, and nobody answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / ".s.PGSQL.5432"))
        listener.listen()
        yield home


@pytest.mark.postgres
async def test_the_primary_is_found_and_nothing_else() -> None:
    with paired() as pair, hanging_server(pair.ground.home) as hanging:
        url = f"postgresql://postgres@/postgres?host={hanging},{pair.standby.host},{pair.primary.host}"
        connection = await connect_to_primary(url, timeout=CONNECT_WITHIN)
        assert not await connection.fetchval("SELECT pg_is_in_recovery()")
        await connection.close()
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
            await connect_to_primary(pair.standby.url(), timeout=CONNECT_WITHIN)


# --- synchronous ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def clients_of(scene: Scene) -> AsyncIterator[_ClientProcess]:
    """A process of plain clients, who log in, refresh and log out at all replicas until it is told to settle."""
    async with AsyncExitStack() as stack:
        ports = tuple(replica.port for replica in scene.replicas)
        front = Front(ports, Random(1))
        await stack.enter_async_context(front.listening())
        orders = Orders(
            seed="failover",
            directory=str(scene.ground.home),
            histories=str(scene.ground.histories),
            handed_out=str(scene.ground.handed_out),
            api_key=scene.api_key,
            password=PASSWORD,
            users=dict([await scene.operator.make_user() for _ in range(USERS)]),
            front=front.port,
            ports=ports,
            window=WINDOW,
            sessions=CLIENTS,
        )
        process = _ClientProcess("tests.faults.plain_clients", orders, scene.ground.home / "clients.log")
        stack.push_async_callback(process.kill)
        await process.start()
        yield process


@pytest.mark.postgres
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failover_to_a_synchronous_standby_loses_nothing(failure: str) -> None:
    with paired() as pair:
        async with opened(pair.ground) as scene:
            await pair.standby.become_synchronous()
            held = await scene.log_in()
            async with clients_of(scene) as clients:
                await asyncio.sleep(LOAD_SECONDS)
                FAILURES[failure](pair.primary)
                await asyncio.sleep(DETECTION_SECONDS)
                await pair.standby.promote()
                key = new_key()  # the replicas may find the new primary at times further apart than the retry window
                for at in range(len(scene.replicas)):
                    assert await refreshed(scene, held, at, key=key) == (200, "")
                await asyncio.sleep(LOAD_SECONDS)
                assert await clients.settle()
            switch_off(pair.primary)
            missing = await until_done(scene.operator.missing)
        verdict = check(Reader(pair.ground.histories).new(), RULES)
    assert verdict.violations == []
    assert missing == []
    assert verdict.moves > CLIENTS and verdict.revoked > 0


# --- asynchronous ---------------------------------------------------------------------------------------------------


async def begin_epoch(ground: Ground) -> None:
    """What the operator does after the promotion."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "keybearer", "after-restore", "--keep-sessions"),
        cwd=ROOT,
        env=ground.environment,
        stdout=subprocess.DEVNULL,
    )
    async with asyncio.timeout(WITHIN):
        assert await process.wait() == 0


@dataclass(frozen=True, slots=True)
class Lost:
    """What happened after the standby had stopped following, all of it acknowledged. `moved` are sessions from before
    with their tokens from after, `copied` a token of the first of them that a thief has."""

    moved: list[Held]
    copied: Held
    logged_out: Held
    logged_in: list[Held]
    user: str


async def live_through_a_lost_moment(scene: Scene, standby: Standby) -> Lost:
    before = [await scene.granted(await scene.log_in(), key=new_key()) for _ in range(5)]
    logged_out = await scene.log_in()
    await standby.catch_up()
    await standby.stop_following()
    once = [await scene.granted(held, key=new_key()) for held in before]
    await asyncio.sleep(WINDOW)
    moved = [await scene.granted(held, key=new_key()) for held in once]
    assert (await decided(scene, calls.revoke(scene.api_key, logged_out))).status == 200
    logged_in = [await scene.log_in() for _ in range(2)]
    user, _ = await scene.operator.make_user()
    assert await standby.count_missing_bytes() > 0
    return Lost(moved, before[0], logged_out, logged_in, user)


async def kinds_of_events(scene: Scene) -> "Counter[AuditKind]":
    events = await scene.operator.storage.audit.list_events(limit=1000, before=None)
    return Counter(recorded.event.kind for recorded in events)


@pytest.mark.postgres
async def test_a_failover_to_an_asynchronous_standby_loses_what_is_told() -> None:
    with paired() as pair:
        async with opened(pair.ground) as scene:
            lost = await live_through_a_lost_moment(scene, pair.standby)
            pair.primary.crash()
            await pair.standby.promote()
            await begin_epoch(pair.ground)

            # Whoever was logged in before stays so, and the trail tells whose commits were lost.
            assert [await refreshed(scene, held) for held in lost.moved] == [(200, "")] * len(lost.moved)
            trail = await kinds_of_events(scene)
            # A copy of a token is caught as ever.
            assert await refreshed(scene, lost.copied) == (401, "refresh_token_reused")
            assert await refreshed(scene, lost.moved[0]) == (401, "session_revoked")

            # Lost: logins, whatever an operator did, and log-outs, which must be done again.
            assert {await refreshed(scene, held) for held in lost.logged_in} == {(401, "refresh_token_invalid")}
            assert await scene.operator.missing() == [f"user {lost.user}"]
            assert await refreshed(scene, lost.logged_out) == (200, "")
            assert (await decided(scene, calls.revoke(scene.api_key, lost.logged_out))).status == 200
            await scene.refused(lost.logged_out)
    assert trail[AuditKind.STATE_REGRESSED] == len(lost.moved)
    assert trail[AuditKind.EPOCH_BEGUN] == 1
