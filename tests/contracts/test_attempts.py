"""The limiter's port: charges are atomic and exact."""

import asyncio
from collections import Counter

import pytest

from keybearer.server.domain.attempts import Admitted, Allowance, Attempt, Charge, ChargeOutcome, Refused
from tests.support.clock import FakeClock
from tests.support.world import OpenWorld, World, charged

KEY = b"k" * 32


async def charge(world: World, limit: int, *, cost: int = 1, times: int = 1, key: bytes = KEY) -> list[ChargeOutcome]:
    allowance = Allowance(limit, period=900)
    return [await charged(world.storage, Charge(key, allowance, cost)) for _ in range(times)]


@pytest.mark.parametrize("limit", [1, 7, 10, 30, 100])
async def test_a_bucket_admits_its_limit_at_once(world: World, limit: int) -> None:
    assert await charge(world, limit, times=limit) == [Admitted()] * limit
    assert isinstance((await charge(world, limit))[0], Refused)


async def test_200_charges_at_once_on_a_limit_of_30_admit_30(world: World, open_world: OpenWorld) -> None:
    worlds = [world, await open_world()]
    request = Charge(KEY, Allowance(30))
    outcomes = await asyncio.gather(*(charged(worlds[n % 2].storage, request) for n in range(200)))
    assert Counter(map(type, outcomes)) == {Admitted: 30, Refused: 170}


async def test_200_charges_at_once_are_200_charges(world: World, open_world: OpenWorld) -> None:
    worlds = [world, await open_world()]
    request = Charge(KEY, Allowance(201))
    outcomes = await asyncio.gather(*(charged(worlds[n % 2].storage, request) for n in range(200)))
    assert outcomes == [Admitted()] * 200
    assert await charge(world, 201) == [Admitted()]
    assert isinstance((await charge(world, 201))[0], Refused)


async def test_retry_after_is_when_the_same_charge_is_admitted(world: World, clock: FakeClock) -> None:
    await charge(world, 10, times=10)
    assert await charge(world, 10) == [Refused(90)]
    await clock.advance(ms=1)
    assert await charge(world, 10) == [Refused(90)]
    await clock.advance(89, ms=-1)
    assert await charge(world, 10) == [Refused(1)]
    await clock.advance(1, ms=-1)
    assert await charge(world, 10) == [Refused(1)]
    await clock.advance(ms=1)
    assert await charge(world, 10) == [Admitted()]


async def test_a_refusal_charges_nothing(world: World, clock: FakeClock) -> None:
    await charge(world, 10, times=10)
    await charge(world, 10, times=50)
    await clock.advance(90)
    assert await charge(world, 10) == [Admitted()]


async def test_a_bucket_recovers_one_by_one(world: World, clock: FakeClock) -> None:
    await charge(world, 10, times=10)
    await clock.advance(270)
    outcomes = await charge(world, 10, times=4)
    assert outcomes[:3] == [Admitted()] * 3
    assert isinstance(outcomes[3], Refused)


async def test_a_bucket_recovers_wholly_and_not_beyond(world: World, clock: FakeClock) -> None:
    await charge(world, 10, times=10)
    await clock.advance(86400)
    assert await charge(world, 10, times=10) == [Admitted()] * 10
    assert await charge(world, 10) == [Refused(90)]


async def test_a_dear_attempt_is_charged_as_several(world: World) -> None:
    assert await charge(world, 10, cost=5, times=2) == [Admitted()] * 2
    assert await charge(world, 10, cost=5) == [Refused(450)]
    assert await charge(world, 10, cost=1) == [Refused(90)]


async def test_what_is_left_admits_a_cheap_attempt_only(world: World) -> None:
    await charge(world, 10, times=8)
    assert await charge(world, 10, cost=5) == [Refused(270)]
    assert await charge(world, 10, cost=2) == [Admitted()]


async def test_a_cost_beyond_the_limit_is_refused_without_a_charge(world: World) -> None:
    assert isinstance((await charge(world, 3, cost=5))[0], Refused)
    assert await charge(world, 3, times=3) == [Admitted()] * 3


async def test_buckets_are_apart(world: World) -> None:
    await charge(world, 1)
    assert await charge(world, 1, key=b"o" * 32) == [Admitted()]


async def test_a_bucket_survives_a_restart(world: World) -> None:
    await charge(world, 1)
    await world.reopen()
    assert await charge(world, 1) == [Refused(900)]


async def test_a_clock_that_steps_back_admits_nobody_twice(world: World, clock: FakeClock) -> None:
    await charge(world, 10, times=10)
    await clock.step_back(3600)
    assert isinstance((await charge(world, 10))[0], Refused)


async def test_an_application_beyond_its_allowance_refuses_nobody_and_makes_attempts_dearer(world: World) -> None:
    application, cheap, dear = (Charge(key * 32, Allowance(limit)) for key, limit in ((b"a", 2), (b"c", 9), (b"d", 1)))
    attempt = Attempt(application, (cheap,), (dear,))
    outcomes = [(await world.storage.attempts.admit("nobody", b"place", lambda _: attempt)).outcome for _ in range(4)]
    assert outcomes == [Admitted(), Admitted(), Admitted(), Refused(900)]


async def test_what_comes_after_the_first_refusal_is_not_charged(world: World) -> None:
    application, first, second = (
        Charge(key * 32, Allowance(limit)) for key, limit in ((b"a", 9), (b"f", 1), (b"s", 2))
    )
    attempt = Attempt(application, (first, second), ())
    outcomes = [(await world.storage.attempts.admit("nobody", b"place", lambda _: attempt)).outcome for _ in range(3)]
    assert [type(outcome) for outcome in outcomes] == [Admitted, Refused, Refused]
    assert await charge(world, 2, key=second.key) == [Admitted()]
    assert await charge(world, 2, key=second.key) == [Refused(450)]
