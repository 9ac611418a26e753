"""Whose turn it is: strangers wait while most of what strangers ask is refused, nobody else does."""

import asyncio

from keybearer.server.http.turns import BEST_CREDIT, FEWEST, KNOWN, MOST, PAUSE, Turns

HANG = 10


def test_whoever_was_answered_well_is_no_stranger() -> None:
    turns = Turns()
    assert turns.credit("a") == 0
    turns.note("a", refused=False)
    assert turns.credit("a") == 1
    assert turns.credit("b") == 0


def test_credit_ends_with_as_many_refusals_as_it_counts() -> None:
    turns = Turns()
    for _ in range(3 * BEST_CREDIT):
        turns.note("a", refused=False)
    for left in reversed(range(BEST_CREDIT)):
        turns.note("a", refused=True)
        assert turns.credit("a") == left
    turns.note("a", refused=True)
    assert turns.credit("a") == 0


def test_who_is_not_heard_of_is_forgotten_and_no_more_are_remembered_than_two_generations() -> None:
    turns = Turns()
    turns.note("rare", refused=False)
    turns.note("often", refused=False)
    for number in range(3 * KNOWN):
        turns.note(str(number), refused=False)
        assert turns.credit("often") == 1
        assert len(turns._young) <= KNOWN and len(turns._old) <= KNOWN
    assert turns.credit("rare") == 0


def test_the_refused_are_not_remembered() -> None:
    """Or else a flood would drive out those who were answered well."""
    turns = Turns()
    turns.note("a", refused=False)
    for number in range(3 * KNOWN):
        turns.note(str(number), refused=True)
    assert turns.credit("a") == 1


async def test_strangers_are_let_in_at_once_as_long_as_they_are_answered_well() -> None:
    turns = Turns()
    for _ in range(MOST // 2):
        assert turns.take()
        turns.judge(refused=False)


async def test_in_a_flood_few_are_let_in_at_a_time_in_their_order() -> None:
    turns = flooded()
    let_in: list[int] = []
    tasks = [asyncio.create_task(note_turn(turns, number, let_in)) for number in range(10 * FEWEST)]
    async with asyncio.timeout(HANG):
        for turn in range(1, 11):
            while len(let_in) < turn * FEWEST:
                await asyncio.sleep(0)
            assert len(let_in) == turn * FEWEST
    await asyncio.gather(*tasks)
    assert let_in == sorted(let_in)


async def test_between_turns_strangers_pause() -> None:
    turns = flooded()
    clock = asyncio.get_running_loop()
    began = clock.time()
    await asyncio.gather(*(note_turn(turns, number, []) for number in range(10 * FEWEST)))
    assert clock.time() - began >= 9 * (PAUSE / 2)  # timers are rounded


async def test_dear_refusals_take_the_places_of_the_next_turn() -> None:
    turns = flooded()
    turns._begin_turn()
    for _ in range(FEWEST):
        assert turns.take()
        turns.judge(refused=True, is_dear=True)
    turns._begin_turn()
    assert not turns.take()
    turns._begin_turn()
    assert all(turns.take() for _ in range(FEWEST))


async def test_no_turn_owes_more_than_the_next() -> None:
    turns = flooded()
    for _ in range(MOST):
        turns.judge(refused=True, is_dear=True)
    turns._begin_turn()
    assert not turns.take()
    turns._begin_turn()
    assert turns.take()


async def test_with_as_many_right_as_wrong_nobody_waits_for_long() -> None:
    turns = Turns()
    for number in range(4 * MOST):
        turns.judge(refused=number % 2 == 0)
    assert turns.at_a_time >= MOST - 1


async def test_after_a_flood_everybody_is_let_in_again() -> None:
    """Answered well or not: as long as nobody waits there is no flood."""
    turns = flooded()
    async with asyncio.timeout(HANG):
        while turns.at_a_time < MOST:
            await turns.wait()
            await asyncio.sleep(2 * PAUSE)
    assert all(turns.take() for _ in range(MOST))
    assert not turns.take()


async def test_few_who_are_refused_all_the_time_close_no_door() -> None:
    """As a scanner does, beside fewer newcomers than he asks."""
    turns = Turns()
    async with asyncio.timeout(HANG):
        for number in range(2 * MOST):
            assert turns.take()
            turns.judge(refused=True)
            if number % FEWEST:
                await asyncio.sleep(2 * PAUSE)
    assert turns.at_a_time > MOST // 2


async def test_at_the_end_all_are_let_in() -> None:
    turns = flooded()
    let_in: list[int] = []
    tasks = [asyncio.create_task(note_turn(turns, number, let_in)) for number in range(3 * MOST)]
    await asyncio.sleep(0)
    assert turns.waiting == 3 * MOST - FEWEST
    turns.let_all_in()
    assert turns.waiting == 0
    await asyncio.gather(*tasks)
    assert len(let_in) == 3 * MOST


async def test_who_gave_up_takes_nobodys_turn() -> None:
    turns = flooded()
    let_in: list[int] = []
    tasks = [asyncio.create_task(note_turn(turns, number, let_in)) for number in range(3 * FEWEST)]
    await asyncio.sleep(0)
    for task in tasks[FEWEST : 2 * FEWEST]:
        task.cancel()
    async with asyncio.timeout(HANG):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert let_in == [*range(FEWEST), *range(2 * FEWEST, 3 * FEWEST)]


def flooded() -> Turns:
    """After so many refusals that the fewest are let in."""
    turns = Turns()
    for _ in range(MOST):
        turns.judge(refused=True)
    assert turns.at_a_time == FEWEST
    return turns


async def note_turn(turns: Turns, number: int, let_in: list[int]) -> None:
    await turns.wait()
    let_in.append(number)
