"""What an operator sees: logs without credentials, metrics, the audit trail."""

import asyncio
import json
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from keybearer.server.adapters.logging import configure_logging
from keybearer.server.adapters.metrics import Metrics
from keybearer.server.adapters.password_hasher import ThreadedPasswordHasher
from keybearer.server.domain.audit import AuditKind
from tests.http.world import PASSWORD, World, attributes, code_of


async def test_the_audit_trail_tells_what_happened(world: World) -> None:
    await world.log_in(password="wrong password")
    session = await world.session()
    second = attributes(await world.refresh(session["refreshToken"]))
    await world.refresh(second["refreshToken"], headers={"User-Agent": "another"})
    await world.advance(60)
    third = attributes(await world.refresh(second["refreshToken"]))
    await world.refresh(session["refreshToken"])
    other = await world.session()
    await world.revoke(other["accessToken"])
    events = await world.storage.audit.list_events(limit=100)
    kinds = [event.event.kind for event in reversed(events) if event.event.actor.kind == "client"]
    assert kinds == [
        AuditKind.LOGIN_REFUSED,
        AuditKind.LOGIN,
        AuditKind.REFRESH,
        AuditKind.REFRESH_ELSEWHERE,
        AuditKind.REFRESH,
        AuditKind.REFRESH_REUSED,
        AuditKind.LOGIN,
        AuditKind.SESSION_REVOKED,
    ]
    refused = next(event.event for event in events if event.event.kind is AuditKind.LOGIN_REFUSED)
    assert refused.detail == {"code": "invalid_credentials"}
    assert refused.actor.address == "127.0.0.1"
    assert refused.actor.request_id
    text = repr(events)
    for secret in (third["refreshToken"], third["accessToken"], PASSWORD, world.key):
        assert secret not in text


async def test_refusals_of_strangers_leave_nothing_behind(world: World) -> None:
    before = await world.storage.audit.list_events(limit=1)
    for token in ("kbr_x", "nonsense", "a b"):
        await world.refresh(token)
        await world.info(token)
        await world.log_in(key=token.replace(" ", "_"))
    assert await world.storage.audit.list_events(limit=1) == before


async def test_a_fault_is_answered_with_nothing_but_the_request_id(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json", "info")
    session = await world.session()

    async def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError(f"secret detail {session['refreshToken']}")

    monkeypatch.setattr(type(world.storage.sessions), "refresh", fail)
    answer = await world.refresh(session["refreshToken"], headers={"X-Request-Id": "find-me"})
    assert code_of(answer) == (500, "internal_error")
    assert "secret detail" not in answer.text
    logged = capfd.readouterr()
    text = logged.out + logged.err
    assert "find-me" in text and "RuntimeError" in text
    for secret in (session["refreshToken"], session["accessToken"], world.key):
        assert secret not in text


async def test_logs_are_json_with_request_id_and_no_credential(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "debug")
    session = await world.session()
    await world.log_in(password="hunter2hunter2")
    await world.info(session["accessToken"] + "x", headers={"X-Request-Id": "find-me"})
    await world.refresh(session["refreshToken"][:-1])
    await world.revoke(session["accessToken"], session["refreshToken"])
    logged = capfd.readouterr()
    lines = [json.loads(line) for line in (logged.out + logged.err).splitlines()]
    assert any(line.get("request_id") == "find-me" and line.get("code") == "access_token_invalid" for line in lines)
    for secret in (session["refreshToken"], session["accessToken"], world.key, PASSWORD, "hunter2hunter2"):
        assert secret not in logged.out + logged.err


async def test_metrics_count_answers(world: World) -> None:
    session = await world.session()
    await world.info(session["accessToken"])
    await world.info("a.b.c")
    lines = generate_latest(world.registry).decode().splitlines()
    counts = Counter({line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"})
    name = "keybearer_requests_total"
    assert counts[f'{name}{{code="",operation="inspectToken",status="200"}}'] == 1
    assert counts[f'{name}{{code="access_token_invalid",operation="inspectToken",status="401"}}'] == 1
    assert counts['keybearer_request_seconds_count{operation="logIn"}'] == 1
    assert not any(secret in "\n".join(lines) for secret in (session["accessToken"], world.key))


def test_gauges_tell_what_they_were_told() -> None:
    registry = CollectorRegistry()
    Metrics(registry).sample(0.5, ThreadedPasswordHasher(), 2, 7)
    assert registry.get_sample_value("keybearer_revocation_staleness_seconds") == 0.5
    assert registry.get_sample_value("keybearer_password_queue", {"state": "waiting"}) == 0
    assert registry.get_sample_value("keybearer_feed_streams") == 2
    assert registry.get_sample_value("keybearer_waiting_strangers") == 7


async def test_the_use_of_a_key_is_noted(world: World) -> None:
    await world.session()
    await world.advance(5)
    await world.service.key_use.write()
    used = {key.kind.value: key.last_used_at for key in await world.storage.api_keys.list_keys(world.application.id)}
    assert used == {"publishable": world.clock.now(), "secret": None}


async def test_upkeep_removes_what_has_expired(world: World) -> None:
    session = await world.session()
    await world.revoke(session["accessToken"])
    await world.advance(91 * 86400)
    await world.service.follower.catch_up()
    assert await world.service.upkeep.remove_expired() > 0
    assert await world.storage.sessions.list_alive(None) == []
    assert await world.service.upkeep.remove_expired() == 0
    await asyncio.sleep(0)
