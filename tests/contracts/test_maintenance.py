"""What the storage does for itself: its clock, and removing what has expired, that and nothing else."""

from dataclasses import replace

from keybearer.server.domain.applications import Lifetimes
from keybearer.server.domain.attempts import Admitted, Allowance, Charge, Refused
from keybearer.server.domain.audit import SERVICE, AuditEvent, AuditKind
from keybearer.server.domain.revocations import ENTRY_GRACE
from keybearer.server.domain.sessions import Moved, RefreshRefused
from keybearer.server.ports import Removed
from tests.support.backends import POLICY
from tests.support.clock import START, FakeClock
from tests.support.world import HOME, World, charged


async def remove(world: World, *, limit: int = 1000, audit_before: int = 0) -> Removed:
    return await world.storage.remove_expired(limit=limit, audit_before=audit_before)


async def test_now_is_the_storages_clock(world: World, clock: FakeClock) -> None:
    assert await world.storage.now() == START
    await clock.advance(ms=1)
    assert await world.storage.now() == START + 1


async def test_nothing_is_removed_before_its_time(world: World) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user, login.application)
    await other.end()
    await charged(world.storage, Charge(b"k" * 32, Allowance(1)))
    assert await remove(world) == Removed()
    assert isinstance(await login.present(), Moved)
    assert await other.present() is RefreshRefused.REVOKED


async def test_a_session_is_removed_at_its_absolute_limit(world: World, clock: FakeClock) -> None:
    login = await world.log_in(application=await world.application(Lifetimes(session_absolute=5000)))
    await clock.set(login.grant.session.absolute_until - 1)
    assert (await remove(world)).sessions == 0
    await clock.advance(ms=1)
    assert (await remove(world)).sessions == 1
    assert await world.storage.sessions.find(login.id) is None


async def test_a_session_past_its_idle_limit_stays_until_its_absolute_one(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(POLICY.idle_lifetime)
    assert (await remove(world)).sessions == 0
    assert await login.present() is RefreshRefused.EXPIRED


async def test_an_ended_session_is_removed_with_its_last_access_token(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.end()
    await clock.set(login.grant.expires_at - 1)
    assert (await remove(world)).sessions == 0
    await clock.advance(ms=1)
    assert (await remove(world)).sessions == 1


async def test_an_entry_is_removed_after_its_grace(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.end()
    await clock.set(login.grant.expires_at + ENTRY_GRACE * 1000 - 1)
    assert (await remove(world)).entries == 0
    await clock.advance(ms=1)
    assert (await remove(world)).entries == 1


async def test_a_bucket_is_removed_when_it_is_worth_nothing(world: World, clock: FakeClock) -> None:
    charge = Charge(b"k" * 32, Allowance(10, period=100))
    await charged(world.storage, charge)
    await clock.advance(10, ms=-1)
    assert (await remove(world)).attempts == 0
    await clock.advance(ms=1)
    assert (await remove(world)).attempts == 1


async def test_removing_buckets_admits_no_more_attempts(world: World, clock: FakeClock) -> None:
    charge = Charge(b"k" * 32, Allowance(2, period=100))
    for _ in range(2):
        await charged(world.storage, charge)
    await clock.advance(50)
    await remove(world)
    assert await charged(world.storage, charge) == Admitted()
    assert await charged(world.storage, charge) == Refused(50)


async def test_audit_events_are_removed_before_an_instant(world: World, clock: FakeClock) -> None:
    for _ in range(3):
        await world.storage.audit.record(AuditEvent(AuditKind.LOGIN, SERVICE))
        await clock.advance(1)
    assert (await remove(world, audit_before=START + 1000)).audit_events == 1
    assert [event.at for event in await world.storage.audit.list_events()] == [START + 2000, START + 1000]


async def test_places_are_removed_after_90_days(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(90 * 86400, ms=-1)
    assert (await remove(world)).known_places == 0
    await clock.advance(ms=1)
    assert (await remove(world)).known_places == 1
    await world.log_in(login.user, login.application)


async def test_a_place_that_is_seen_again_stays(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await clock.advance(80 * 86400)
    await world.log_in(login.user, login.application)
    await clock.advance(80 * 86400)
    assert (await remove(world)).known_places == 0


async def test_rows_are_removed_in_batches(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    for number in range(9):
        new = replace(world.new_session(login.user, login.application), place_hash=bytes([number]) * 32)
        await world.storage.sessions.create(new, HOME)
    for number in range(9):  # and the application's bucket is the tenth
        await charged(world.storage, Charge(bytes([number]) * 32, Allowance(1)))
    for session in await world.storage.sessions.list_alive(login.user.id):
        await world.storage.sessions.end_owned(login.user.id, session.session.id, HOME)
    await clock.advance(POLICY.absolute_lifetime)
    batches = [await remove(world, limit=4, audit_before=clock.now()) for _ in range(7)]
    assert [batch.sessions for batch in batches[:4]] == [4, 4, 2, 0]
    assert [batch.attempts for batch in batches[:4]] == [4, 4, 2, 0]
    assert [batch.known_places for batch in batches[:4]] == [4, 4, 2, 0]
    assert [batch.entries for batch in batches[:4]] == [4, 4, 3, 0]
    assert all(batch.audit_events <= 4 for batch in batches)
    assert batches[-1].total == 0
