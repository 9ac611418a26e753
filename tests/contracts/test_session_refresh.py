"""The table of contract.md section 3, row by row, with the retry window W at its edges."""

from dataclasses import replace

import pytest

from keybearer.credentials.refresh_token import make_binder
from keybearer.server.domain.applications import Lifetimes
from keybearer.server.domain.audit import Actor, AuditKind
from keybearer.server.domain.sessions import EndReason, Moved, RefreshRefused, Repeated, SessionPolicy
from tests.support.backends import POLICY
from tests.support.clock import START, FakeClock
from tests.support.follower import Follower
from tests.support.world import (
    ELSEWHERE,
    HOME,
    OpenWorld,
    World,
    answered,
    grant_of,
    token_at,
    token_of,
    with_other_binder,
)

W = POLICY.refresh_retry_window
KEY = "an-idempotency-key-of-22"
OTHER_KEY = "another-idempotency-key"

# --- the current token ----------------------------------------------------------------------------------------------


async def test_first_refresh_moves_the_chain_however_young_the_login_is(world: World) -> None:
    login = await world.log_in()
    outcome = await login.present()
    assert isinstance(outcome, Moved)
    assert outcome.grant.session.place == 1
    assert not outcome.regressed


async def test_first_refresh_moves_the_chain_however_old_the_login_is(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(W * 100)
    assert isinstance(await login.present(), Moved)


@pytest.mark.parametrize("age", [0, 1, W * 1000 - 1])
async def test_current_token_is_repeated_while_the_last_move_is_younger_than_w(
    world: World, clock: FakeClock, age: int
) -> None:
    login = await world.log_in()
    current = await login.move()
    await clock.advance(ms=age)
    outcome = await login.present(current)
    assert isinstance(outcome, Repeated)
    assert answered(outcome) == current


@pytest.mark.parametrize("age", [W * 1000, W * 1000 + 1])
async def test_current_token_moves_once_the_last_move_is_w_old(world: World, clock: FakeClock, age: int) -> None:
    login = await world.log_in()
    await login.move()
    await clock.advance(ms=age)
    outcome = await login.present()
    assert isinstance(outcome, Moved)
    assert outcome.grant.session.place == 2
    assert outcome.grant.session.moved_at == START + age


async def test_repeating_does_not_prolong_the_window(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.move()
    await clock.advance(W - 1)
    assert isinstance(await login.present(), Repeated)
    await clock.advance(1)
    assert isinstance(await login.present(), Moved)


async def test_idempotency_key_does_not_keep_the_current_token_from_moving(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.move(key=KEY)
    await clock.advance(W)
    assert isinstance(await login.present(key=KEY), Moved)


# --- its direct predecessor -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [0, 1, W * 1000 - 1])
async def test_predecessor_is_answered_with_the_current_token_inside_w(
    world: World, clock: FakeClock, age: int
) -> None:
    login = await world.log_in()
    predecessor = login.token
    current = await login.move()
    await clock.advance(ms=age)
    outcome = await login.present(predecessor)
    assert isinstance(outcome, Repeated)
    assert answered(outcome) == current


@pytest.mark.parametrize("age", [W * 1000, W * 1000 + 1])
async def test_predecessor_is_reuse_once_the_last_move_is_w_old(world: World, clock: FakeClock, age: int) -> None:
    login = await world.log_in()
    predecessor = login.token
    await login.move()
    await clock.advance(ms=age)
    assert await login.present(predecessor) is RefreshRefused.REUSED


async def test_predecessor_and_current_token_are_answered_with_the_same_token(world: World) -> None:
    login = await world.log_in()
    predecessor = login.token
    current = await login.move()
    outcomes = [await login.present(token) for token in (predecessor, current, predecessor, current)]
    assert {answered(outcome) for outcome in outcomes} == {current}


@pytest.mark.parametrize("age", [0, W, W + 1, 86400, POLICY.idle_lifetime - 1])
async def test_predecessor_with_the_key_that_moved_the_chain_is_answered_at_any_age(
    world: World, clock: FakeClock, age: int
) -> None:
    login = await world.log_in()
    predecessor = login.token
    current = await login.move(key=KEY)
    await clock.advance(age)
    outcome = await login.present(predecessor, key=KEY)
    assert isinstance(outcome, Repeated)
    assert answered(outcome) == current


@pytest.mark.parametrize("key", [None, OTHER_KEY])
async def test_predecessor_without_that_key_is_reuse(world: World, clock: FakeClock, key: str | None) -> None:
    login = await world.log_in()
    predecessor = login.token
    await login.move(key=KEY)
    await clock.advance(W)
    assert await login.present(predecessor, key=key) is RefreshRefused.REUSED


async def test_a_key_means_nothing_when_the_chain_was_moved_without_one(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    predecessor = login.token
    await login.move()
    await clock.advance(W)
    assert await login.present(predecessor, key=KEY) is RefreshRefused.REUSED


async def test_the_key_of_a_repeat_is_not_that_of_the_move(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    predecessor = login.token
    await login.move(key=KEY)
    await login.present(predecessor, key=OTHER_KEY)
    await clock.advance(W)
    assert await login.present(predecessor, key=OTHER_KEY) is RefreshRefused.REUSED


async def test_a_move_without_a_key_forgets_the_key_of_the_move_before(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    second = await login.move(key=KEY)
    await clock.advance(W)
    await login.move()
    await clock.advance(W)
    assert await login.present(second, key=KEY) is RefreshRefused.REUSED


async def test_the_key_of_the_move_before_last_is_forgotten(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    await login.move(key=KEY)
    await clock.advance(W)
    await login.move(key=OTHER_KEY)
    assert await login.present(first, key=KEY) is RefreshRefused.REUSED


# --- any other earlier token ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, KEY])
async def test_second_to_last_token_is_reuse_even_inside_w(world: World, clock: FakeClock, key: str | None) -> None:
    login = await world.log_in()
    first = login.token
    await login.move(key=KEY)
    await clock.advance(W)
    await login.move(key=KEY)
    assert await login.present(first, key=key) is RefreshRefused.REUSED


async def test_reuse_ends_the_session_for_every_token(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    current = await login.move()
    await clock.advance(W)
    await login.present(first)
    assert await login.present(current) is RefreshRefused.REVOKED
    assert await login.present(first) is RefreshRefused.REVOKED
    assert not await login.is_alive()


async def test_reuse_is_written_on_the_row_and_in_the_trail(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    await login.move()
    await clock.advance(W)
    await login.present(first, actor=ELSEWHERE)
    row = await login.row()
    assert (row.revoked_at, row.revoked_reason) == (clock.now(), EndReason.REUSE)
    newest = (await world.storage.audit.list_events(limit=1))[0]
    assert newest.event.kind is AuditKind.REFRESH_REUSED
    assert newest.event.session_id == login.id
    assert newest.event.actor == ELSEWHERE


async def test_reuse_is_in_the_feed(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    first = login.token
    await login.move()
    await clock.advance(W)
    await login.present(first)
    await follower.read()
    assert follower.refuses(login.grant)


async def test_reuse_ends_that_session_only(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user, login.application)
    first = login.token
    await login.move()
    await clock.advance(W)
    await login.present(first)
    assert isinstance(await other.present(), Moved)
    user = await world.storage.users.find(login.user.id)
    assert user is not None
    assert user.ver == login.user.ver


# --- tokens that the row does not expect ----------------------------------------------------------------------------


async def test_same_place_at_another_time_is_treated_as_a_predecessor_inside_w(world: World) -> None:
    login = await world.log_in()
    current = await login.move()
    outcome = await login.present(login.at_place(1, current.moved_at - 5))
    assert isinstance(outcome, Repeated)
    assert answered(outcome) == current


async def test_same_place_at_another_time_is_reuse_after_w(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    current = await login.move()
    await clock.advance(W)
    assert await login.present(login.at_place(1, current.moved_at - 5)) is RefreshRefused.REUSED


async def test_place_ahead_of_the_row_is_adopted_and_moved_on(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.move()
    ahead = login.at_place(4, START + 5)
    outcome = await login.present(ahead)
    assert isinstance(outcome, Moved)
    assert outcome.regressed
    assert outcome.grant.session.place == 5
    assert await world.audited(AuditKind.STATE_REGRESSED) == 1


async def test_an_adopted_place_has_the_presented_token_as_its_predecessor(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    ahead = login.at_place(4, START + 5)
    current = answered(await login.present(ahead))
    await clock.advance(W - 1)
    assert answered(await login.present(ahead)) == current


async def test_a_token_from_before_an_adopted_place_is_reuse(world: World) -> None:
    login = await world.log_in()
    overtaken = await login.move()
    await login.present(login.at_place(4, START + 5))
    assert await login.present(overtaken) is RefreshRefused.REUSED


async def test_token_with_another_rows_binder_is_unknown_and_changes_nothing(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    before = await login.row()
    await clock.advance(W)
    assert await login.present(with_other_binder(login.token)) is RefreshRefused.UNKNOWN
    assert await login.row() == before


async def test_binder_is_that_of_the_credential_format(world: World) -> None:
    """The storage computes it in SQL: for a large place and time, and a nonce and an id with every kind of byte."""
    login = await world.log_in()
    place, moved_at = (1 << 62) - 2, (1 << 62) - 1
    token = token_at(login.grant.session, place, moved_at)
    assert token.binder == make_binder(login.grant.session.nonce, login.id.bytes, place, moved_at)
    assert isinstance(await login.present(token), Moved)


async def test_token_of_no_session_is_unknown(world: World) -> None:
    login = await world.log_in()
    stranger = token_of(replace(login.grant.session, id=world.new_id()))
    assert await login.present(stranger) is RefreshRefused.UNKNOWN


async def test_token_of_another_application_is_refused_and_changes_nothing(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    other = await world.application()
    before = await login.row()
    await clock.advance(W)
    presentation = login.presentation(application_id=other.id)
    assert await world.storage.sessions.refresh(presentation, HOME) is RefreshRefused.WRONG_APPLICATION
    assert await login.row() == before


async def test_reuse_in_another_application_does_not_end_the_session(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    other = await world.application()
    first = login.token
    await login.move()
    await clock.advance(W)
    presentation = login.presentation(first, application_id=other.id)
    assert await world.storage.sessions.refresh(presentation, HOME) is RefreshRefused.WRONG_APPLICATION
    assert await login.is_alive()


# --- W = 0 ----------------------------------------------------------------------------------------------------------


async def test_without_a_window_the_chain_moves_every_time(open_world: OpenWorld) -> None:
    login = await (await open_world(SessionPolicy(refresh_retry_window=0))).log_in()
    assert [grant_of(await login.present()).session.place for _ in range(3)] == [1, 2, 3]


async def test_without_a_window_a_predecessor_is_reuse_at_once(open_world: OpenWorld) -> None:
    login = await (await open_world(SessionPolicy(refresh_retry_window=0))).log_in()
    first = login.token
    await login.move()
    assert await login.present(first) is RefreshRefused.REUSED


async def test_without_a_window_a_key_still_answers_the_predecessor(open_world: OpenWorld) -> None:
    login = await (await open_world(SessionPolicy(refresh_retry_window=0))).log_in()
    first = login.token
    current = await login.move(key=KEY)
    assert answered(await login.present(first, key=KEY)) == current


# --- where a repeat comes from --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "actor", [ELSEWHERE, replace(HOME, address=ELSEWHERE.address), replace(HOME, agent=ELSEWHERE.agent)]
)
async def test_repeat_from_elsewhere_is_told_and_audited(world: World, actor: Actor) -> None:
    login = await world.log_in(actor=HOME)
    await login.move()
    outcome = await login.present(actor=actor)
    assert isinstance(outcome, Repeated)
    assert outcome.elsewhere
    assert await world.audited(AuditKind.REFRESH_ELSEWHERE) == 1


async def test_repeat_from_the_same_place_is_not_audited(world: World) -> None:
    login = await world.log_in(actor=HOME)
    await login.move()
    outcome = await login.present(actor=replace(HOME, request_id="another"))
    assert isinstance(outcome, Repeated)
    assert not outcome.elsewhere
    assert await world.audited(AuditKind.REFRESH_ELSEWHERE) == 0


async def test_a_refresh_notes_where_the_session_is_used(world: World, clock: FakeClock) -> None:
    login = await world.log_in(actor=HOME)
    await clock.advance(5)
    await login.present(actor=ELSEWHERE)
    row = await login.row()
    assert (row.first_address, row.first_agent) == (HOME.address, HOME.agent)
    assert (row.last_address, row.last_agent) == (ELSEWHERE.address, ELSEWHERE.agent)
    assert row.last_used_at == clock.now()


async def test_a_move_is_audited_and_a_repeat_is_not(world: World) -> None:
    login = await world.log_in()
    await login.move()
    await login.present()
    assert await world.audited(AuditKind.REFRESH) == 1


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_refresh_one_millisecond_before_the_idle_limit(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(POLICY.idle_lifetime, ms=-1)
    assert isinstance(await login.present(), Moved)


async def test_refresh_at_the_idle_limit_is_too_late(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(POLICY.idle_lifetime)
    assert await login.present() is RefreshRefused.EXPIRED


async def test_each_refresh_begins_the_idle_time_anew(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    for _ in range(2):
        await clock.advance(POLICY.idle_lifetime - 1)
        await login.move()


@pytest.mark.parametrize(("ms", "too_late"), [(-1, False), (0, True), (1, True)])
async def test_refresh_at_the_absolute_limit(world: World, clock: FakeClock, ms: int, too_late: bool) -> None:
    login = await world.log_in()
    for _ in range(3):
        await clock.advance(POLICY.idle_lifetime - 1)
        await login.move()
    await clock.set(login.grant.session.absolute_until + ms)
    outcome = await login.present()
    assert (outcome is RefreshRefused.EXPIRED) == too_late


async def test_an_expired_session_is_not_reused(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    await login.move()
    await clock.advance(POLICY.idle_lifetime)
    assert await login.present(first) is RefreshRefused.EXPIRED
    assert (await login.row()).revoked_at is None


async def test_an_ended_session_is_revoked_rather_than_expired(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.end()
    await clock.advance(POLICY.absolute_lifetime)
    assert await login.present() is RefreshRefused.REVOKED


# --- what is granted ------------------------------------------------------------------------------------------------


async def test_access_token_is_issued_in_whole_seconds(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(ms=1999)
    grant = grant_of(await login.present())
    assert grant.issued_at == START + 1000
    assert grant.expires_at == START + 1000 + POLICY.access_token_lifetime * 1000


async def test_a_repeat_issues_an_access_token_too(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.move()
    await clock.advance(30)
    grant = grant_of(await login.present())
    assert (grant.issued_at, grant.expires_at) == (START + 30_000, START + 930_000)
    assert (await login.row()).access_until == START + 930_000


@pytest.mark.parametrize("left", [POLICY.access_token_lifetime + 1, POLICY.access_token_lifetime, 300, 1, 0.5])
async def test_access_token_never_outlives_the_absolute_limit(
    open_world: OpenWorld, clock: FakeClock, left: float
) -> None:
    await clock.advance(ms=250)
    login = await (await open_world(SessionPolicy(idle_lifetime=POLICY.absolute_lifetime))).log_in()
    end = login.grant.session.absolute_until
    await clock.set(end - round(left * 1000))
    grant = grant_of(await login.present())
    assert clock.now() < grant.expires_at <= end
    assert grant.expires_at % 1000 == 0
    assert grant.session.idle_until <= end


async def test_grant_has_the_user_as_it_is_now(world: World) -> None:
    login = await world.log_in()
    await world.storage.users.set_roles(login.user.id, add=frozenset({"b", "a"}), actor=HOME)
    grant = grant_of(await login.present())
    assert grant.roles == ("a", "b")
    assert grant.ver == login.user.ver + 1
    assert (grant.email, grant.first_name, grant.last_name) == (login.user.email, "Jane", "Doe")


async def test_grant_has_the_row_as_it_is_afterwards(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(5)
    grant = grant_of(await login.present(key=KEY, actor=ELSEWHERE))
    assert grant.session == await login.row()


async def test_the_next_token_is_derived_with_the_active_key(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    moved = await world.storage.sessions.refresh(replace(login.presentation(), next_token_key_id=2), HOME)
    assert grant_of(moved).session.token_key_id == 2
    repeated = await login.present(login.token)
    assert grant_of(repeated).session.token_key_id == 2


async def test_applications_have_their_own_lifetimes(world: World, clock: FakeClock) -> None:
    application = await world.application(Lifetimes(access_token=60, session_idle=600, session_absolute=900))
    login = await world.log_in(application=application)
    await clock.advance(599)
    grant = grant_of(await login.present())
    assert grant.expires_at == START + 599_000 + 60_000
    assert grant.session.idle_until == START + 900_000
    await clock.advance(301)
    assert await login.present() is RefreshRefused.EXPIRED


async def test_an_application_may_have_some_lifetimes_of_its_own(world: World) -> None:
    application = await world.application(Lifetimes(access_token=60))
    grant = (await world.log_in(application=application)).grant
    assert grant.expires_at == START + 60_000
    assert grant.session.absolute_until == START + POLICY.absolute_lifetime * 1000


async def test_each_application_has_its_own(world: World) -> None:
    user = await world.user()
    short = await world.log_in(user, await world.application(Lifetimes(access_token=60)))
    usual = await world.log_in(user, await world.application())
    assert short.grant.expires_at == START + 60_000
    assert usual.grant.expires_at == START + POLICY.access_token_lifetime * 1000


# --- a clock that is corrected --------------------------------------------------------------------------------------


async def test_clock_back_by_an_hour_counts_as_inside_the_window(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    current = await login.move()
    await clock.step_back(3600)
    for token in (first, current):
        outcome = await login.present(token)
        assert isinstance(outcome, Repeated)
        assert answered(outcome) == current


async def test_moved_at_never_decreases(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.step_back(3600)
    moved = await login.move()
    assert moved.moved_at == START


async def test_clock_back_and_forward_again_loses_nothing(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.move()
    await clock.step_back(3600)
    await login.present()
    await clock.advance(3600 + W)
    assert isinstance(await login.present(), Moved)


async def test_clock_forward_by_an_hour_moves_the_chain_once(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.move()
    await clock.advance(3600)
    await login.move()
    await clock.step_back(3600)
    assert isinstance(await login.present(), Repeated)


async def test_access_until_never_decreases(world: World, clock: FakeClock) -> None:
    """An entry of the feed must outlive every access token of the session, those from before the step included."""
    login = await world.log_in()
    await clock.step_back(3600)
    await login.move()
    assert (await login.row()).access_until == START + POLICY.access_token_lifetime * 1000


# --- several storages, and restarts ---------------------------------------------------------------------------------


async def test_the_chain_goes_on_after_a_restart(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    current = await login.move(key=KEY)
    await clock.advance(W * 10)
    await world.reopen()
    assert answered(await login.present(first, key=KEY)) == current
    assert isinstance(await login.present(current), Moved)


async def test_reuse_is_noticed_across_a_restart(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    await login.move()
    await clock.advance(W)
    await world.reopen()
    assert await login.present(first) is RefreshRefused.REUSED


async def test_two_storages_move_one_chain(world: World, open_world: OpenWorld, clock: FakeClock) -> None:
    other = await open_world()
    login = await world.log_in()
    presentation = login.presentation()
    current = await login.move()
    outcome = await other.storage.sessions.refresh(presentation, HOME)
    assert isinstance(outcome, Repeated)
    assert answered(outcome) == current
    await clock.advance(W)
    assert isinstance(await other.storage.sessions.refresh(login.presentation(), HOME), Moved)
    assert isinstance(await login.present(current), Repeated)


async def test_presentation_by_nobody_known(world: World) -> None:
    """A service without a proxy may know neither address nor agent."""
    nobody = replace(HOME, address="", agent="", request_id="")
    login = await world.log_in(actor=nobody)
    assert isinstance(await login.present(actor=nobody), Moved)
    outcome = await login.present(actor=nobody)
    assert isinstance(outcome, Repeated)
    assert not outcome.elsewhere
