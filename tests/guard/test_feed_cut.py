"""The feed is cut for ten seconds, in which sessions are revoked. Service, network and time are real.

What a guard makes of minutes, and of a service that fails in other ways, stands in test_staleness.py and test_feed.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx2
import pytest

from bench.service import World, generated_world, sqlite_bench
from keybearer.errors import AccessTokenRevoked, KeybearerError, StorageUnavailable
from keybearer.guard import Credentials, Guard, Limits
from tests.guard.test_real_service import HANG, eventually, known

CUT = 10.0
"""Seconds."""

REJECTING, ASKING, TRUSTING = "rejects", "introspects", "trusts what it knows"
MAX_STALENESS = {REJECTING: 8.0, ASKING: 8.0, TRUSTING: 60.0}
"""Seconds, less than the cut or more, by what the guard does in the end. Heartbeats come every 5 s."""

SESSIONS = 10
"""One of them is revoked at the beginning of each second of the cut."""


@dataclass(slots=True)
class Network:
    """Between guards and service, at `port`. What follows the feed can be cut off; other requests pass at all times."""

    upstream: int
    port: int = 0
    _refusing: bool = False
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _streams: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    def drop(self) -> None:
        """Connections are reset, and no new one is served."""
        self._refusing = True
        for writer in self._streams:
            writer.transport.abort()

    def swallow(self) -> None:
        """Connections stay and can be made, and no byte gets through."""
        self._flowing.clear()

    def mend(self) -> None:
        """What was swallowed arrives now, as it does when TCP tries again."""
        self._refusing = False
        self._flowing.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        self.mend()
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await asyncio.sleep(0)  # what was aborted is closed in the next turn of the loop

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side has ended."""
        async with closed(writer):
            head = await reader.readline()
            follows = b"/feed" in head
            if follows and self._refusing:
                writer.transport.abort()
                return
            answers, questions = await asyncio.open_connection("127.0.0.1", self.upstream)
            async with closed(questions):
                questions.write(head)
                if follows:
                    self._streams |= {writer, questions}
                await self._pass_on_both_ways(reader, questions, answers, writer, follows)
        self._streams -= {writer, questions}

    async def _pass_on_both_ways(
        self,
        reader: asyncio.StreamReader,
        questions: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        follows: bool,
    ) -> None:
        ways = [
            asyncio.create_task(self._pass_on(source, target, follows))
            for source, target in ((reader, questions), (answers, writer))
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, follows: bool) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if follows:
                    await self._flowing.wait()
                target.write(data)
                await target.drain()


@asynccontextmanager
async def closed(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """When the block has ended. What was written is sent before, unless the task is cancelled: nobody may read it."""
    try:
        yield
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    finally:
        writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Scene:
    """A service, the network before it, and guards that follow the service through that network: see MAX_STALENESS."""

    world: World
    network: Network
    service: str
    guards: Mapping[str, Guard]
    stack: AsyncExitStack

    async def start(self, guard: Guard) -> Guard:
        """Until the scene ends."""
        self.stack.push_async_callback(asyncio.to_thread, guard.close)
        await asyncio.to_thread(guard.start, HANG)
        return guard

    async def revoke(self, credentials: Credentials) -> None:
        """As a logout does, at the service itself."""
        headers = {"Api-Key": self.world.api_key, "Authorization": credentials.authorization or ""}
        async with httpx2.AsyncClient(timeout=HANG) as client:
            answer = await client.post(f"{self.service}/oauth/token/revoke", headers=headers)
        assert answer.status_code == 200


@asynccontextmanager
async def playing() -> AsyncIterator[Scene]:
    with sqlite_bench() as bench:
        async with generated_world(bench, users=1) as world, AsyncExitStack() as stack:
            service = stack.enter_context(bench.start())
            network = Network(service.port)
            await stack.enter_async_context(network.listening())
            url, key = f"http://127.0.0.1:{network.port}/v1/api", world.guard_key
            impatient = Limits(stream_silence=6)  # gives a silent stream up; the others wait until it speaks again
            guards = {
                REJECTING: Guard(url, key, max_staleness=MAX_STALENESS[REJECTING]),
                ASKING: Guard(url, key, max_staleness=MAX_STALENESS[ASKING], on_stale="introspect", limits=impatient),
                TRUSTING: Guard(url, key, max_staleness=MAX_STALENESS[TRUSTING]),
            }
            scene = Scene(world, network, f"{service.url}/v1/api", guards, stack)
            for guard in guards.values():
                await scene.start(guard)
            yield scene


async def outcome(guard: Guard, credentials: Credentials) -> type[KeybearerError] | None:
    """Without blocking the event loop, on which the network is."""
    try:
        await guard.verify_async(credentials)
    except KeybearerError as error:
        return type(error)
    return None


async def outcomes(guard: Guard, tokens: Sequence[Credentials]) -> set[type[KeybearerError] | None]:
    return {await outcome(guard, credentials) for credentials in tokens}


@pytest.mark.slow
@pytest.mark.parametrize("cut", [Network.drop, Network.swallow], ids=["dropped", "swallowed"])
async def test_the_feed_is_cut_for_ten_seconds(cut: Callable[[Network], None]) -> None:
    async with playing() as scene:
        made = [tokens.access_token for tokens in await scene.world.sessions(SESSIONS + 1)]
        good, *others = (Credentials(scene.world.api_key, f"Bearer {token}") for token in made)
        await eventually(lambda: are_fresh(scene))
        for guard in scene.guards.values():
            assert await outcomes(guard, [good, *others]) == {None}
        began = time.monotonic()
        cut(scene.network)
        await revoke_and_watch(scene, others, began)
        assert await outcomes(scene.guards[REJECTING], [good, *others]) == {StorageUnavailable}
        assert await outcomes(scene.guards[ASKING], others) == {AccessTokenRevoked}
        assert await outcome(scene.guards[ASKING], good) is None
        assert await outcomes(scene.guards[TRUSTING], [good, *others]) == {None}
        assert scene.guards[TRUSTING].staleness > CUT - 1
        scene.network.mend()
        await require_the_snapshot(scene)
        for guard in scene.guards.values():
            assert await outcomes(guard, others) == {AccessTokenRevoked}
            assert await outcome(guard, good) is None


def are_fresh(scene: Scene) -> bool:
    return all(guard.staleness < MAX_STALENESS[name] / 2 for name, guard in scene.guards.items())


async def revoke_and_watch(scene: Scene, tokens: Sequence[Credentials], began: float) -> None:
    """Revoke one token after the other until the cut is over. No guard may accept one of them longer after the cut than
    the staleness that it allows: it has learned nothing since."""
    revoked: list[Credentials] = []
    while (passed := time.monotonic() - began) < CUT or len(revoked) < len(tokens):
        if passed > len(revoked) * CUT / len(tokens):
            await scene.revoke(tokens[len(revoked)])
            revoked.append(tokens[len(revoked)])
        for name, guard in scene.guards.items():
            for credentials in revoked:
                asked = time.monotonic() - began
                accepted = await outcome(guard, credentials) is None
                assert not accepted or asked <= MAX_STALENESS[name], f"the one that {name}, after {asked:.1f} s"
        await asyncio.sleep(0.05)


async def require_the_snapshot(scene: Scene) -> None:
    """The guards come to know what the service's snapshot says, by going on from where they were."""
    fresh = await scene.start(Guard(scene.service, scene.world.guard_key))
    guards = scene.guards.values()
    await eventually(lambda: all(known(guard) == known(fresh) for guard in guards) and are_fresh(scene))
    assert len(list(fresh._knowledge.state.revoked_sessions())) == SESSIONS
    assert {guard.metrics.snapshots for guard in guards} == {1}
