"""Sessions from login to end: who gets one, what ends one, and what others learn of it."""

from dataclasses import replace
from uuid import UUID

import pytest

from keybearer.server.domain.applications import Lifetimes
from keybearer.server.domain.attempts import Admitted, Allowance, Charge, Refused
from keybearer.server.domain.audit import AuditKind
from keybearer.server.domain.revocations import ENTRY_GRACE
from keybearer.server.domain.sessions import (
    MAX_SESSIONS_PER_USER,
    Ended,
    EndReason,
    EndRefused,
    Moved,
    RefreshRefused,
    SessionRefused,
)
from keybearer.server.domain.users import UserStatus
from tests.support.backends import POLICY
from tests.support.clock import START, FakeClock
from tests.support.follower import Follower
from tests.support.world import (
    ELSEWHERE,
    HOME,
    OPERATOR,
    Login,
    World,
    charged,
    grant_of,
    login_record,
    with_other_binder,
)

W = POLICY.refresh_retry_window

# --- create ---------------------------------------------------------------------------------------------------------


async def test_a_session_begins_at_place_0_with_its_limits(world: World) -> None:
    login = await world.log_in(actor=HOME)
    session = login.grant.session
    assert (session.place, session.moved_at, session.created_at, session.last_used_at) == (0, START, START, START)
    assert session.idle_until == START + POLICY.idle_lifetime * 1000
    assert session.absolute_until == START + POLICY.absolute_lifetime * 1000
    assert session.access_until == START + POLICY.access_token_lifetime * 1000
    assert (session.first_address, session.last_agent) == (HOME.address, HOME.agent)
    assert (session.revoked_at, session.revoked_reason, session.idempotency_hash) == (None, None, None)


async def test_the_grant_is_of_the_row_and_the_user(world: World) -> None:
    login = await world.log_in()
    grant = login.grant
    assert grant.session == await login.row()
    assert (grant.email, grant.roles, grant.ver) == (login.user.email, (), login.user.ver)
    assert (grant.issued_at, grant.expires_at) == (START, START + POLICY.access_token_lifetime * 1000)


async def test_a_login_is_audited(world: World) -> None:
    login = await world.log_in(actor=ELSEWHERE)
    newest = (await world.storage.audit.list_events(limit=1))[0]
    assert newest.event.kind is AuditKind.LOGIN
    assert newest.event.actor == ELSEWHERE
    ids = (newest.event.user_id, newest.event.application_id, newest.event.session_id)
    assert ids == (login.user.id, login.application.id, login.id)


async def test_access_token_of_a_login_does_not_outlive_a_short_session(world: World, clock: FakeClock) -> None:
    await clock.advance(ms=999)
    application = await world.application(Lifetimes(session_absolute=30))
    grant = (await world.log_in(application=application)).grant
    assert grant.expires_at == START + 30_000
    assert grant.session.idle_until == START + 30_000


async def test_a_disabled_user_gets_no_session(world: World) -> None:
    user, application = await world.user(), await world.application()
    await world.storage.users.set_status(user.id, UserStatus.DISABLED, OPERATOR)
    outcome = await world.storage.sessions.create(world.new_session(user, application), HOME)
    assert outcome is SessionRefused.USER_DISABLED


async def test_a_disabled_application_gives_no_session(world: World) -> None:
    user, application = await world.user(), await world.application()
    await world.storage.applications.set_enabled(application.id, False, OPERATOR)
    outcome = await world.storage.sessions.create(world.new_session(user, application), HOME)
    assert outcome is SessionRefused.APPLICATION_DISABLED


async def test_a_password_that_was_changed_meanwhile_gives_no_session(world: World) -> None:
    user, application = await world.user(), await world.application()
    await world.storage.users.set_password(user.id, "another hash", OPERATOR)
    outcome = await world.storage.sessions.create(world.new_session(user, application, password_version=1), HOME)
    assert outcome is SessionRefused.PASSWORD_CHANGED
    assert not await world.storage.sessions.list_alive(user.id)


async def test_the_new_password_gives_one(world: World) -> None:
    user, application = await world.user(), await world.application()
    await world.storage.users.set_password(user.id, "another hash", OPERATOR)
    grant_of(await world.storage.sessions.create(world.new_session(user, application, password_version=2), HOME))


async def test_a_login_resets_the_bucket_of_the_name(world: World) -> None:
    user, application = await world.user(), await world.application()
    new = world.new_session(user, application)
    charge = Charge(new.name_bucket, Allowance(1))
    assert await charged(world.storage, charge) == Admitted()
    await world.storage.sessions.create(new, HOME)
    assert await charged(world.storage, charge) == Admitted()


async def test_a_refused_login_resets_nothing_and_knows_no_place(world: World) -> None:
    user, application = await world.user(), await world.application()
    new = world.new_session(user, application, password_version=7)
    charge = Charge(new.name_bucket, Allowance(1))
    await charged(world.storage, charge)
    await world.storage.sessions.create(new, HOME)
    assert isinstance(await charged(world.storage, charge), Refused)
    record = await login_record(world.storage, user.email, new.place_hash)
    assert record is not None
    assert not record.known_place


async def test_a_login_makes_its_place_known_for_90_days(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    place = world.new_session(login.user, login.application).place_hash
    await clock.advance(90 * 86400 - 1)
    assert (await _known(world, login, place), await _known(world, login, b"another place")) == (True, False)
    await clock.advance(1)
    assert not await _known(world, login, place)


async def test_of_21_places_the_oldest_is_forgotten(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    places = [bytes([number]) * 32 for number in range(21)]
    for place in places:
        await clock.advance(1)
        new = replace(world.new_session(login.user, login.application), place_hash=place)
        await world.storage.sessions.create(new, HOME)
    assert [await _known(world, login, place) for place in places] == [False] + [True] * 20


async def _known(world: World, login: Login, place: bytes) -> bool:
    record = await login_record(world.storage, login.user.email, place)
    assert record is not None
    return record.known_place


async def test_the_101st_session_ends_the_oldest(world: World, clock: FakeClock) -> None:
    oldest = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    others = []
    for _ in range(MAX_SESSIONS_PER_USER):
        await clock.advance(1)
        others.append(await world.log_in(oldest.user, oldest.application))
    alive = {view.session.id for view in await world.storage.sessions.list_alive(oldest.user.id, limit=1000)}
    assert alive == {login.id for login in others}
    assert (await oldest.row()).revoked_reason is EndReason.TOO_MANY_SESSIONS
    await follower.read()
    assert follower.refuses(oldest.grant)


async def test_sessions_that_have_expired_do_not_count_towards_the_limit(world: World, clock: FakeClock) -> None:
    user = await world.user()
    short = await world.application(Lifetimes(session_absolute=10))
    for _ in range(MAX_SESSIONS_PER_USER):
        await world.log_in(user, short)
    first = await world.log_in(user, await world.application())
    await clock.advance(10)
    await world.log_in(user, first.application)
    assert await first.is_alive()


async def test_a_login_is_never_ended_as_the_oldest(world: World, clock: FakeClock) -> None:
    """Its id may be older than the others': it comes from the clock of a process that is behind the storage's."""
    login = await world.log_in()
    for _ in range(MAX_SESSIONS_PER_USER - 1):
        await clock.advance(ms=1)
        await world.log_in(login.user, login.application)
    late = replace(world.new_session(login.user, login.application), id=UUID(int=login.id.int - (120_000 << 80)))
    grant = grant_of(await world.storage.sessions.create(late, HOME))
    row = await world.storage.sessions.find(grant.session.id)
    assert row is not None
    assert row.revoked_at is None
    assert not await login.is_alive()


# --- end ------------------------------------------------------------------------------------------------------------


async def test_an_ended_session_is_over_and_says_why(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(5)
    outcome = await world.storage.sessions.end(login.id, EndReason.ADMINISTRATOR, OPERATOR)
    assert outcome == Ended(login.id, clock.now(), 1)
    assert await login.present() is RefreshRefused.REVOKED
    row = await login.row()
    assert (row.revoked_at, row.revoked_reason) == (clock.now(), EndReason.ADMINISTRATOR)


async def test_ending_is_audited_with_its_reason(world: World) -> None:
    login = await world.log_in()
    await login.end()
    newest = (await world.storage.audit.list_events(limit=1))[0]
    assert (newest.event.kind, newest.event.session_id) == (AuditKind.SESSION_REVOKED, login.id)
    assert newest.event.detail["reason"] == EndReason.LOGOUT


async def test_ending_is_in_the_feed_for_as_long_as_an_access_token_lives(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await clock.advance(100)
    await login.move()
    await login.end()
    await follower.read()
    entry = follower.sessions[str(login.id)]
    assert entry.expires_at == login.grant.expires_at + ENTRY_GRACE * 1000
    snapshot = await Follower.start(world.storage.feed)
    assert snapshot.sessions == {str(login.id): entry}


async def test_ending_leaves_other_sessions_alone(world: World) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user, login.application)
    await login.end()
    assert isinstance(await other.present(), Moved)


async def test_ending_twice(world: World) -> None:
    login = await world.log_in()
    await login.end()
    before = await login.row()
    assert await world.storage.sessions.end(login.id, EndReason.ADMINISTRATOR, OPERATOR) is EndRefused.ALREADY_ENDED
    assert await login.row() == before


async def test_ending_no_session(world: World) -> None:
    assert await world.storage.sessions.end(world.new_id(), EndReason.LOGOUT, HOME) is EndRefused.UNKNOWN


async def test_ending_an_expired_session(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(POLICY.idle_lifetime)
    assert await login.end() is EndRefused.EXPIRED


# --- end_presented --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2, 9])
async def test_any_authentic_token_ends_its_session(world: World, clock: FakeClock, place: int) -> None:
    login = await world.log_in()
    for _ in range(2):
        await login.move()
        await clock.advance(W)
    presentation = login.presentation(login.at_place(place))
    outcome = await world.storage.sessions.end_presented(presentation, HOME, all_devices=False)
    assert outcome == Ended(login.id, clock.now(), 1)
    assert (await login.row()).revoked_reason is EndReason.LOGOUT


async def test_a_foreign_token_ends_nothing(world: World) -> None:
    login = await world.log_in()
    sessions = world.storage.sessions
    forged = login.presentation(with_other_binder(login.token))
    assert await sessions.end_presented(forged, HOME, all_devices=False) is EndRefused.UNKNOWN
    assert await sessions.end_presented(forged, HOME, all_devices=True) is EndRefused.UNKNOWN
    assert await login.is_alive()


@pytest.mark.parametrize("all_devices", [False, True])
async def test_a_token_of_another_application_ends_nothing(world: World, all_devices: bool) -> None:
    login = await world.log_in()
    other = await world.application()
    presentation = login.presentation(application_id=other.id)
    outcome = await world.storage.sessions.end_presented(presentation, HOME, all_devices=all_devices)
    assert outcome is EndRefused.WRONG_APPLICATION
    assert await login.is_alive()


@pytest.mark.parametrize("all_devices", [False, True])
async def test_a_token_of_an_ended_session_ends_nothing(world: World, all_devices: bool) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user, login.application)
    await login.end()
    outcome = await world.storage.sessions.end_presented(login.presentation(), HOME, all_devices=all_devices)
    assert outcome is EndRefused.ALREADY_ENDED
    assert await other.is_alive()


@pytest.mark.parametrize("all_devices", [False, True])
async def test_a_token_of_an_expired_session_ends_nothing(world: World, clock: FakeClock, all_devices: bool) -> None:
    login = await world.log_in()
    await clock.advance(POLICY.idle_lifetime)
    other = await world.log_in(login.user, login.application)
    outcome = await world.storage.sessions.end_presented(login.presentation(), HOME, all_devices=all_devices)
    assert outcome is EndRefused.EXPIRED
    assert await other.is_alive()


async def test_the_current_token_ends_all_devices(world: World) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user, await world.application())
    stranger = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await login.move()
    outcome = await world.storage.sessions.end_presented(login.presentation(), HOME, all_devices=True)
    assert isinstance(outcome, Ended)
    assert (outcome.session_id, outcome.sessions) == (login.id, 2)
    assert [await session.is_alive() for session in (login, other, stranger)] == [False, False, True]
    await follower.read()
    assert [follower.refuses(session.grant) for session in (login, other, stranger)] == [True, True, False]


async def test_all_devices_need_the_current_token(world: World) -> None:
    login = await world.log_in()
    predecessor = login.token
    await login.move()
    before = await login.row()
    for token in (predecessor, login.at_place(1, START - 5)):
        outcome = await world.storage.sessions.end_presented(login.presentation(token), HOME, all_devices=True)
        assert outcome is EndRefused.NOT_CURRENT
    assert await login.row() == before
    user = await world.storage.users.find(login.user.id)
    assert user is not None
    assert user.ver == login.user.ver


# --- end_owned ------------------------------------------------------------------------------------------------------


async def test_a_user_ends_an_own_session(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    outcome = await world.storage.sessions.end_owned(login.user.id, login.id, HOME)
    assert outcome == Ended(login.id, clock.now(), 1)
    assert not await login.is_alive()


async def test_a_user_cannot_end_somebody_elses(world: World) -> None:
    login, other = await world.log_in(), await world.log_in()
    assert await world.storage.sessions.end_owned(other.user.id, login.id, HOME) is EndRefused.UNKNOWN
    assert await world.storage.sessions.end_owned(other.user.id, world.new_id(), HOME) is EndRefused.UNKNOWN
    assert await login.is_alive()


# --- end_all --------------------------------------------------------------------------------------------------------


async def test_all_sessions_of_a_user_end_and_ver_rises(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    logins = [login, await world.log_in(login.user, await world.application())]
    follower = await Follower.start(world.storage.feed)
    count, at = await world.storage.sessions.end_all(login.user.id, EndReason.ADMINISTRATOR, OPERATOR)
    assert (count, at) == (2, clock.now())
    assert not await world.storage.sessions.list_alive(login.user.id)
    user = await world.storage.users.find(login.user.id)
    assert user is not None
    assert user.ver == login.user.ver + 1
    await follower.read()
    assert all(follower.refuses(each.grant) for each in logins)
    assert await world.audited(AuditKind.SESSIONS_REVOKED) == 1


async def test_all_but_one_session_end_and_ver_stays(world: World) -> None:
    login = await world.log_in()
    others = [await world.log_in(login.user, login.application) for _ in range(2)]
    follower = await Follower.start(world.storage.feed)
    count, _ = await world.storage.sessions.end_all(login.user.id, EndReason.LOGOUT_ALL, HOME, keep=login.id)
    assert count == 2
    assert isinstance(await login.present(), Moved)
    assert login.grant.ver == login.user.ver
    await follower.read()
    assert [follower.refuses(each.grant) for each in (login, *others)] == [False, True, True]


async def test_sessions_that_have_ended_are_not_counted_again(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    expired = await world.log_in(login.user, await world.application(Lifetimes(session_absolute=10)))
    await (await world.log_in(login.user, login.application)).end()
    await clock.advance(10)
    count, _ = await world.storage.sessions.end_all(login.user.id, EndReason.LOGOUT_ALL, HOME)
    assert count == 1
    assert (await expired.row()).absolute_until == clock.now()


async def test_ending_all_of_nobodys_sessions(world: World, clock: FakeClock) -> None:
    outcome = await world.storage.sessions.end_all(world.new_id(), EndReason.LOGOUT_ALL, HOME)
    assert outcome == (0, clock.now())


async def test_a_session_after_the_end_of_all_has_the_new_ver(world: World) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await world.storage.sessions.end_all(login.user.id, EndReason.LOGOUT_ALL, HOME)
    again = await world.log_in(login.user, login.application)
    await follower.read()
    assert [follower.refuses(each.grant) for each in (login, again)] == [True, False]


# --- find and list --------------------------------------------------------------------------------------------------


async def test_find_no_session(world: World) -> None:
    assert await world.storage.sessions.find(world.new_id()) is None


async def test_sessions_are_listed_newest_first_with_their_application(world: World, clock: FakeClock) -> None:
    user = await world.user()
    logins = []
    for name in ("shop", "desk"):
        await clock.advance(1)
        logins.append(await world.log_in(user, await world.application(name=name)))
    views = await world.storage.sessions.list_alive(user.id)
    assert [(view.session, view.application_name) for view in views] == [
        (await logins[1].row(), "desk"),
        (await logins[0].row(), "shop"),
    ]


async def test_of_all_users_as_many_as_asked_for_are_listed(world: World, clock: FakeClock) -> None:
    logins = []
    for _ in range(3):
        await clock.advance(1)
        logins.append(await world.log_in())
    views = await world.storage.sessions.list_alive(None, limit=2)
    assert [view.session.id for view in views] == [logins[2].id, logins[1].id]


@pytest.mark.parametrize("limit", ["idle", "absolute"])
async def test_a_session_is_listed_until_its_limit(world: World, clock: FakeClock, limit: str) -> None:
    lifetimes = Lifetimes(session_idle=50) if limit == "idle" else Lifetimes(session_absolute=50)
    login = await world.log_in(application=await world.application(lifetimes))
    await clock.advance(50, ms=-1)
    assert await login.is_alive()
    await clock.advance(ms=1)
    assert not await login.is_alive()
