"""Refreshes that come at the same time may share a statement or a transaction. Each is answered as if it were alone."""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from keybearer.errors import StorageUnavailable
from keybearer.guard.state import RevokedSession
from keybearer.server.domain.applications import Lifetimes
from keybearer.server.domain.audit import Actor, AuditKind
from keybearer.server.domain.sessions import Moved, Presentation, RefreshOutcome, RefreshRefused, Repeated
from tests.support.backends import POLICY
from tests.support.clock import FakeClock
from tests.support.follower import Follower
from tests.support.world import ELSEWHERE, HOME, Login, World, answered, with_other_binder

W = POLICY.refresh_retry_window
HANG = 60
BEYOND_64_BITS = 1 << 64


@dataclass(frozen=True)
class Case:
    """What is presented, and what comes of it: `said` is the outcome as a word, `event` its line of the trail."""

    make: Callable[[World], Awaitable[Presentation]]
    said: str
    event: AuditKind | None = None
    actor: Actor = HOME
    in_window: bool = False
    """Made a moment before it is presented; the others are a window old."""


async def current(world: World) -> Presentation:
    return (await world.log_in()).presentation()


async def current_of_a_moved_one(world: World) -> Presentation:
    login = await world.log_in()
    await login.move()
    return login.presentation()


async def passed(world: World) -> Presentation:
    login = await world.log_in()
    stale = login.presentation()
    await login.move()
    return stale


async def of_an_idle_session(world: World) -> Presentation:
    application = await world.application(Lifetimes(session_idle=W))
    return (await world.log_in(application=application)).presentation()


async def of_an_ended_session(world: World) -> Presentation:
    login = await world.log_in()
    await login.end()
    return login.presentation()


async def from_another_application(world: World) -> Presentation:
    other = await world.application(name="other")
    return (await world.log_in()).presentation(application_id=other.id)


async def with_a_foreign_binder(world: World) -> Presentation:
    login = await world.log_in()
    return login.presentation(with_other_binder(login.token))


async def of_no_session(world: World) -> Presentation:
    login = await world.log_in()
    return login.presentation(replace(login.token, session_id=world.new_id()))


async def ahead_of_the_row(world: World) -> Presentation:
    login = await world.log_in()
    return login.presentation(login.at_place(5))


CASES = {
    "move": Case(current, "moved to 1", AuditKind.REFRESH),
    "another move": Case(current_of_a_moved_one, "moved to 2", AuditKind.REFRESH),
    "regression": Case(ahead_of_the_row, "moved to 6, regressed", AuditKind.STATE_REGRESSED),
    "repetition": Case(current_of_a_moved_one, "repeated at 1", in_window=True),
    "repetition elsewhere": Case(
        current_of_a_moved_one, "repeated at 1, elsewhere", AuditKind.REFRESH_ELSEWHERE, ELSEWHERE, in_window=True
    ),
    "reuse": Case(passed, "reused", AuditKind.REFRESH_REUSED),
    "idle session": Case(of_an_idle_session, "expired"),
    "ended session": Case(of_an_ended_session, "revoked"),
    "other application": Case(from_another_application, "wrong_application"),
    "foreign binder": Case(with_a_foreign_binder, "unknown"),
    "no session": Case(of_no_session, "unknown"),
}


def in_words(outcome: RefreshOutcome) -> str:
    match outcome:
        case Moved(grant, regressed):
            return f"moved to {grant.session.place}{', regressed' if regressed else ''}"
        case Repeated(grant, elsewhere):
            return f"repeated at {grant.session.place}{', elsewhere' if elsewhere else ''}"
        case RefreshRefused():
            return outcome.value


async def presented(world: World, clock: FakeClock) -> dict[str, tuple[Presentation, Actor]]:
    """All cases, each with an actor of its own."""
    made = {name: await case.make(world) for name, case in CASES.items() if not case.in_window}
    await clock.advance(W)
    made |= {name: await case.make(world) for name, case in CASES.items() if case.in_window}
    return {name: (made[name], replace(case.actor, request_id=name)) for name, case in CASES.items()}


async def together(world: World, calls: Sequence[tuple[Presentation, Actor]]) -> list[RefreshOutcome]:
    async with asyncio.timeout(HANG):
        return list(await asyncio.gather(*(world.storage.sessions.refresh(*call) for call in calls)))


async def logins_of_one_user(world: World, count: int) -> list[Login]:
    user, application = await world.user(), await world.application()
    return [await world.log_in(user, application) for _ in range(count)]


# --- each as if it were alone ---------------------------------------------------------------------------------------


async def test_each_of_all_outcomes_at_once_has_its_own(world: World, clock: FakeClock) -> None:
    calls = await presented(world, clock)
    outcomes = dict(zip(calls, await together(world, list(calls.values())), strict=True))
    assert {name: in_words(outcome) for name, outcome in outcomes.items()} == {
        name: case.said for name, case in CASES.items()
    }
    for name, outcome in outcomes.items():
        if isinstance(outcome, Moved | Repeated):
            assert outcome.grant.session.id == calls[name][0].token.session_id


async def test_each_of_all_outcomes_at_once_has_its_lines_in_the_trail(world: World, clock: FakeClock) -> None:
    calls = await presented(world, clock)
    before = len(await world.storage.audit.list_events(limit=1000))
    await together(world, list(calls.values()))
    events = [each.event for each in (await world.storage.audit.list_events(limit=1000))[:-before]]
    assert Counter((each.kind, each.actor, each.session_id) for each in events) == Counter(
        (case.event, calls[name][1], calls[name][0].token.session_id)
        for name, case in CASES.items()
        if case.event is not None
    )


async def test_of_all_outcomes_at_once_the_reuse_alone_is_in_the_feed(world: World, clock: FakeClock) -> None:
    calls = await presented(world, clock)
    follower = await Follower.start(world.storage.feed)
    await together(world, list(calls.values()))
    (entry,) = await follower.read()
    assert isinstance(entry, RevokedSession)
    assert entry.id == str(calls["reuse"][0].token.session_id)


async def test_several_reuses_at_once_have_an_entry_each(world: World, clock: FakeClock) -> None:
    stale = [await passed(world) for _ in range(10)]
    await clock.advance(W)
    follower = await Follower.start(world.storage.feed)
    outcomes = await together(world, [(each, HOME) for each in stale])
    assert set(outcomes) == {RefreshRefused.REUSED}
    entries = await follower.read()
    assert Counter(entry.id for entry in entries if isinstance(entry, RevokedSession)) == Counter(
        str(each.token.session_id) for each in stale
    )


async def test_one_that_fails_harms_no_other(world: World) -> None:
    logins = await logins_of_one_user(world, 20)
    calls = [login.presentation() for login in logins]
    calls[7] = logins[7].presentation(replace(logins[7].token, place=BEYOND_64_BITS))  # no database takes it
    async with asyncio.timeout(HANG):
        outcomes = await asyncio.gather(
            *(world.storage.sessions.refresh(call, HOME) for call in calls), return_exceptions=True
        )
    failed = outcomes.pop(7)
    assert isinstance(failed, Exception)
    assert not isinstance(failed, StorageUnavailable)
    assert {type(outcome) for outcome in outcomes} == {Moved}
    assert isinstance(await logins[7].present(), Moved)


# --- several of one session -----------------------------------------------------------------------------------------


async def test_presentations_of_one_session_are_taken_in_the_order_in_which_they_come(world: World) -> None:
    logins = await logins_of_one_user(world, 10)
    calls = [(login.presentation(), replace(HOME, request_id=f"{n}")) for n in range(3) for login in logins]
    outcomes = await together(world, calls)
    assert [type(outcome) for outcome in outcomes] == [Moved] * 10 + [Repeated] * 20
    assert len({answered(outcome) for outcome in outcomes}) == 10
    events = [each.event for each in await world.storage.audit.list_events(limit=1000)]
    moves = [event for event in events if event.kind is AuditKind.REFRESH]
    assert {event.actor.request_id for event in moves} == {"0"}


async def test_a_presentation_is_judged_by_what_those_before_it_have_done(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    stale = login.presentation()
    await login.move()
    await clock.advance(W)
    calls = [(login.presentation(), HOME), (login.presentation(), HOME), (stale, HOME), (login.presentation(), HOME)]
    outcomes = await together(world, calls)
    assert [in_words(outcome) for outcome in outcomes] == ["moved to 2", "repeated at 2", "reused", "revoked"]


async def test_who_goes_away_harms_no_other(world: World) -> None:
    logins = await logins_of_one_user(world, 40)
    tasks = [asyncio.create_task(login.present()) for login in logins]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    async with asyncio.timeout(HANG):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes[1::2]} == {Moved}
    async with asyncio.timeout(HANG):
        assert {type(outcome) for outcome in await asyncio.gather(*(login.present() for login in logins))} <= {
            Moved,
            Repeated,
        }


async def test_refreshes_leave_nothing_to_the_garbage_collector(world: World) -> None:
    """Its rounds stop every request; what makes no cycles needs none (app.py sets them far apart)."""
    logins = await logins_of_one_user(world, 40)
    calls = [(login.presentation(), HOME) for login in logins]
    await together(world, calls)
    gc.collect()
    gc.disable()
    try:
        for call in calls[:20]:
            await world.storage.sessions.refresh(*call)
        await together(world, calls[20:])
        found = gc.collect()
    finally:
        gc.enable()
    assert found < len(calls)
