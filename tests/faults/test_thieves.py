"""A stolen copy against real processes: owner and thief ask different replicas, whose clocks disagree by two minutes.

Every order of six presentations at every spacing has the outcome that is written in tests/properties/data. The retry
window is the minute that it is by default: the database's clock, which measures it, is stepped.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.clocks import FURTHEST, SteppedClock
from tests.faults.ground import prepared
from tests.faults.scene import WITHIN, Scene, opened
from tests.faults.sessions import make_sessions
from tests.faults.wire import Reply
from tests.support.interleavings import GAPS, LONG, POLICY, SEQUENCES, SHORT, SPACINGS, Scenario, code_of, written

SETTINGS = {
    "KEYBEARER_REFRESH_RETRY_WINDOW": str(POLICY.refresh_retry_window),
    "KEYBEARER_ACCESS_TOKEN_LIFETIME": str(POLICY.access_token_lifetime),
}

AT_ONCE = 32
"""Requests that are under way together."""

_KINDS = {"refresh_token_reused": "reused", "session_revoked": "revoked"}


@dataclass(slots=True)
class Story:
    """One session, and what its two parties hold; `place` is how far its chain has come."""

    sequence: str
    spacing: str
    held: dict[str, Held]
    place: int = 0
    outcomes: list[str] = field(default_factory=list)

    @property
    def party(self) -> str:
        """Whose turn it is."""
        return self.sequence[len(self.outcomes)]

    @property
    def scenario(self) -> Scenario:
        return Scenario(self.sequence, self.spacing, tuple(self.outcomes))

    @property
    def has_ended(self) -> bool:
        return self.outcomes[-1] in ("R", "-")

    def take(self, reply: Reply | None) -> None:
        """What the party is answered whose turn it is."""
        assert reply is not None
        if reply.status == 401:
            self.outcomes.append(code_of(_KINDS[reply.code], None))
            return
        after = Held.of(reply)
        kind = "moved" if after.token[0] > self.place else "repeated"
        self.held[self.party], self.place = after, after.token[0]
        self.outcomes.append(code_of(kind, self.place))


@dataclass(slots=True)
class Stage:
    """`clock` is the database's. Half of the stories have the owner where the clock is behind, half have the thief."""

    scene: Scene
    clock: SteppedClock
    users: list[str]
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def play(self, number: int) -> list[Story]:
        """All sequences at one spacing, side by side."""
        self.clock.step(0)
        spacing, user = SPACINGS[number], self.users[number]
        sessions = await make_sessions(self.scene, [user] * len(SEQUENCES))
        stories = [
            Story(sequence, spacing, dict.fromkeys("OT", held))
            for sequence, held in zip(SEQUENCES, sessions, strict=True)
        ]
        for gap in (SHORT, *spacing):
            if gap == LONG:
                self.clock.step(self.clock.offset + GAPS[LONG] / 1000)
            await asyncio.gather(*(self._present(story, number % 2) for story in stories))
        return stories

    async def _present(self, story: Story, owner_at: int) -> None:
        at = owner_at if story.party == "O" else 1 - owner_at
        async with self.turns:
            story.take(await self.scene.refresh(story.held[story.party], at=at))

    async def check_access_tokens(self, story: Story) -> None:
        """What either party holds is accepted by both replicas as long as the session lives, and soon by neither."""
        code = "access_token_revoked" if story.has_ended else ""
        for held in story.held.values():
            for at in range(len(self.scene.replicas)):
                while await self._inspect(held, at) != code:
                    assert story.has_ended, story.scenario
                    await asyncio.sleep(0.01)

    async def _inspect(self, held: Held, at: int) -> str:
        async with self.turns:
            reply = await self.scene.ask(calls.inspect(self.scene.api_key, held), at)
        assert reply is not None
        return reply.code


@contextmanager
def database_clock() -> Iterator[SteppedClock]:
    """In a directory that PostgreSQL's user can read."""
    with tempfile.TemporaryDirectory(prefix="keybearer-clock-") as name:
        Path(name).chmod(0o755)
        yield SteppedClock(Path(name) / "clock")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with database_clock() as clock:
        launcher = ["env", *(f"{name}={value}" for name, value in clock.environment.items())]
        with prepared("postgresql", replicas=2, settings=SETTINGS, launcher=launcher) as ground:
            clocks = [
                SteppedClock(ground.home / f"clock-{ahead:+.0f}", offset=ahead) for ahead in (-FURTHEST, FURTHEST)
            ]
            async with opened(ground, clocks) as scene:
                yield Stage(scene, clock, [(await scene.operator.make_user())[0] for _ in SPACINGS])


@pytest.mark.slow
@pytest.mark.postgres
async def test_every_interleaving_of_owner_and_thief_ends_as_it_is_written(stage: Stage) -> None:
    expected = {(scenario.sequence, scenario.spacing): scenario for scenario in written()}
    different = []
    for number in range(len(SPACINGS)):
        async with asyncio.timeout(WITHIN):
            stories = await stage.play(number)
            await asyncio.gather(*(stage.check_access_tokens(story) for story in stories))
        different += [
            f"{story.scenario}   expected: {wanted}"
            for story in stories
            if story.scenario != (wanted := expected[story.sequence, story.spacing])
        ]
    assert not different, "\n".join(different)
