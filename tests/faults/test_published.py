"""The faults that other servers have published, each as a case of its own, against real replicas and a real client.

two redemptions of one token at once, which fork the chain or end the session
a restart that forgets the move it had answered, or that nobody heard of
a repeat within the same second as the move
a refresh that races a revocation, or the disabling of the user, and survives it
"""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from tests.faults import calls, launcher
from tests.faults.calls import Held
from tests.faults.ground import WINDOW, prepared
from tests.faults.scene import WITHIN, Scene, new_key, opened

ROUNDS = 15
BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=BACKENDS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    with prepared(request.param, replicas=2) as ground:
        async with opened(ground) as scene:
            yield scene


async def test_two_redemptions_at_once_end_with_one_token(scene: Scene) -> None:
    for _ in range(ROUNDS):
        held = await scene.log_in()
        both = await asyncio.gather(scene.granted(held, key=new_key()), scene.granted(held, key=new_key(), at=-1))
        assert both[0].refresh_token == both[1].refresh_token != held.refresh_token
        again = await scene.granted(both[0], key=new_key(), at=-1)
        assert again.refresh_token == both[0].refresh_token


async def test_a_restart_forgets_no_move_that_was_answered(scene: Scene) -> None:
    before = await scene.log_in()
    key = new_key()
    after = await scene.granted(before, key=key)
    await scene.restart()
    assert (await scene.granted(before, key=key)).refresh_token == after.refresh_token
    await asyncio.sleep(WINDOW)
    assert (await scene.granted(before, key=key)).refresh_token == after.refresh_token
    moved = await scene.granted(after, key=new_key())
    assert moved.token[0] == 2
    reply = await scene.refresh(before)
    assert reply is not None and (reply.status, reply.code) == (401, "refresh_token_reused")
    await scene.refused(moved)


@pytest.mark.parametrize("point", launcher.POINTS)
async def test_a_crash_costs_nobody_the_session(scene: Scene, point: str) -> None:
    if scene.ground.backend == "postgresql" and point == launcher.AMID_BATCH:
        return  # a transaction there holds one change
    sessions = [(await scene.log_in(), new_key()) for _ in range(8)]
    await scene.restart(f"{point}:1")
    async with asyncio.timeout(WITHIN):
        while scene.replicas[0].is_running:
            await asyncio.gather(*(scene.refresh(held, key=key) for held, key in sessions))
    assert await scene.replicas[0].wait() == -signal.SIGKILL
    await scene.restart()
    for number, (held, key) in enumerate(sessions):
        if number == len(sessions) // 2:
            await asyncio.sleep(WINDOW)  # the others come back when their tokens are no longer young
        after = await scene.granted(held, key=key)
        assert after.token[0] == 1
        assert (await scene.granted(held, key=key, at=-1)).refresh_token == after.refresh_token


async def test_a_repeat_within_the_same_second_is_answered_alike(scene: Scene) -> None:
    for _ in range(ROUNDS):
        held = await scene.log_in()
        after = await scene.granted(held, key=new_key())
        repeats = [held, after, held, after]
        answers = [await scene.granted(repeat, key=new_key(), at=-1) for repeat in repeats]
        assert {answer.refresh_token for answer in answers} == {after.refresh_token}


@pytest.mark.parametrize("killed", [False, True], ids=["", "and the replica dies after the answer"])
async def test_a_refresh_that_races_a_revocation_does_not_survive_it(scene: Scene, killed: bool) -> None:
    held_by_all = []
    for _ in range(ROUNDS):
        held = await scene.log_in()
        refreshed, revoked = await asyncio.gather(
            scene.refresh(held, key=new_key(), at=-1), scene.ask(calls.revoke(scene.api_key, held))
        )
        assert revoked is not None and revoked.status == 200
        held_by_all.append(held)
        if refreshed is not None and refreshed.status == 200:
            held_by_all.append(Held.of(refreshed))
    if killed:
        await scene.restart()
    for held in held_by_all:
        await scene.refused(held)


async def test_a_refresh_that_races_the_disabling_of_its_user_does_not_survive_it(scene: Scene) -> None:
    for _ in range(ROUNDS):
        held = await scene.log_in()
        refreshed, _ = await asyncio.gather(
            scene.refresh(held, key=new_key(), at=-1), scene.operator.disable(scene.user, pause=0)
        )
        assert refreshed is not None
        await scene.refused(Held.of(refreshed) if refreshed.status == 200 else held)
