"""The audit trail's port."""

import asyncio

from keybearer.server.domain.audit import SERVICE, Actor, AuditEvent, AuditKind, RecordedEvent
from tests.support.clock import FakeClock
from tests.support.world import ELSEWHERE, World


async def test_an_event_is_kept_as_it_was_recorded(world: World, clock: FakeClock) -> None:
    await clock.advance(7)
    detail = {"code": "invalid_credentials", "note": 'ž "quoted" \\ \u2028'}
    event = AuditEvent(
        AuditKind.LOGIN_REFUSED, ELSEWHERE, world.new_id(), world.new_id(), world.new_id(), detail=detail
    )
    await world.storage.audit.record(event)
    (recorded,) = await world.storage.audit.list_events()
    assert recorded == RecordedEvent(recorded.id, clock.now(), event)


async def test_an_event_without_anybody(world: World) -> None:
    event = AuditEvent(AuditKind.SECRET_KEY_CREATED, SERVICE)
    await world.storage.audit.record(event)
    assert [recorded.event for recorded in await world.storage.audit.list_events()] == [event]


async def test_every_kind_of_event_can_be_kept(world: World) -> None:
    for kind in AuditKind:
        await world.storage.audit.record(AuditEvent(kind, SERVICE))
    recorded = await world.storage.audit.list_events(limit=1000)
    assert [event.event.kind for event in reversed(recorded)] == list(AuditKind)


async def test_the_newest_come_first_in_pages(world: World) -> None:
    for number in range(5):
        await world.storage.audit.record(AuditEvent(AuditKind.LOGIN, Actor("client", request_id=str(number))))
    first = await world.storage.audit.list_events(limit=2)
    second = await world.storage.audit.list_events(limit=2, before=first[-1].id)
    third = await world.storage.audit.list_events(limit=2, before=second[-1].id)
    assert [event.event.actor.request_id for event in (*first, *second, *third)] == ["4", "3", "2", "1", "0"]
    assert await world.storage.audit.list_events(before=third[-1].id) == []


async def test_events_recorded_at_once_are_all_kept(world: World) -> None:
    await asyncio.gather(*(world.storage.audit.record(AuditEvent(AuditKind.LOGIN, SERVICE)) for _ in range(50)))
    recorded = await world.storage.audit.list_events()
    assert len({event.id for event in recorded}) == 50


async def test_an_agent_of_any_length_is_kept(world: World) -> None:
    actor = Actor("client", agent="x" * 10_000)
    await world.storage.audit.record(AuditEvent(AuditKind.LOGIN, actor))
    assert [event.event.actor for event in await world.storage.audit.list_events()] == [actor]


async def test_events_survive_a_restart(world: World) -> None:
    await world.storage.audit.record(AuditEvent(AuditKind.LOGIN, SERVICE))
    before = await world.storage.audit.list_events()
    await world.reopen()
    assert await world.storage.audit.list_events() == before
