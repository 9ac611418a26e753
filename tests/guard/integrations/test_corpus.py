"""One corpus of requests, answered alike by the service's token info and by every integration."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keybearer.wire.problems import STATUS
from tests.guard.integrations.answers import Answer, Verdict
from tests.guard.integrations.corpus import Request, add_internal_key, populate, requests_of
from tests.guard.integrations.servers import UPGRADE, Address, Visitor
from tests.guard.integrations.targets import TARGETS, Target, url_of
from tests.http.world import BASE, World

INFO = f"{BASE}/oauth/token/info"
WEBSOCKET_LINE = 8000
INTERNAL_KEY = Verdict(403, "api_key_invalid")
"""What everyone but the service itself says to a key with permissions (contract.md section 3)."""


async def corpus_of(world: World) -> list[Request]:
    requests = list(requests_of(await populate(world)))
    assert len(requests) >= 300
    return requests


async def verdicts_of(
    address: Address,
    path: str,
    requests: Sequence[Request],
    read: Callable[[Answer], Verdict] = Answer.verdict,
    extra: tuple[tuple[str, str], ...] = (),
) -> dict[str, Verdict]:
    def send_all() -> dict[str, Verdict]:
        visitor = Visitor(address)
        try:
            return {
                request.name: read(visitor.send("GET", f"{path}?{request.query}", request.headers + extra))
                for request in requests
            }
        finally:
            visitor.close()

    return await asyncio.to_thread(send_all)


async def expected_verdicts(world: World, requests: Sequence[Request]) -> dict[str, Verdict]:
    """The service's, but for keys that work at the service only."""
    verdicts = await verdicts_of(world.address, INFO, requests)
    for request in requests:
        if request.internal_key:
            verdicts[request.name] = INTERNAL_KEY
    return verdicts


def differences(expected: dict[str, Verdict], actual: dict[str, Verdict]) -> list[str]:
    """One line for each request that was answered otherwise than expected."""
    assert expected.keys() == actual.keys()
    return [f"{name}: {expected[name]} != {actual[name]}" for name in expected if expected[name] != actual[name]]


async def test_the_corpus_has_every_verdict(world: World) -> None:
    """Else it would prove little: each code about a credential is the answer to some request, and so is yes."""
    verdicts = set((await expected_verdicts(world, await corpus_of(world))).values())
    about_credentials = ("access_token_", "api_key_", "application_", "origin_", "malformed_request")
    codes = {code for code in STATUS if code.startswith(about_credentials)}
    assert {verdict.code for verdict in verdicts} == codes | {""}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
async def test_the_same_verdicts(world: World, target: Target, tmp_path: Path) -> None:
    requests = await corpus_of(world)
    expected = await expected_verdicts(world, requests)
    key = await add_internal_key(world, "guard")
    async with target.running(tmp_path / "page", url_of(world), key) as address:
        assert differences(expected, await verdicts_of(address, target.path, requests)) == []


@pytest.mark.parametrize("target", [target for target in TARGETS if target.live], ids=lambda target: target.name)
async def test_the_same_verdicts_about_websockets(world: World, target: Target, tmp_path: Path) -> None:
    requests = [request for request in await corpus_of(world) if reaches_the_application(request)]
    expected = await expected_verdicts(world, requests)
    key = await add_internal_key(world, "guard")
    async with target.running(tmp_path / "page", url_of(world), key) as address:
        assert differences(expected, await verdicts_of(address, target.live or "", requests, extra=UPGRADE)) == []


def reaches_the_application(request: Request) -> bool:
    """Not all do: the server's WebSocket parser never ends with longer lines, and refuses two origins by itself."""
    lines = [len(name) + len(value) for name, value in request.headers]
    return max(lines, default=0) < WEBSOCKET_LINE and [name for name, _ in request.headers].count("Origin") < 2


async def test_forward_authentication(world: World) -> None:
    """Proxies know no other refusals than 401 and 403 (contract.md section 2)."""
    requests = await corpus_of(world)
    expected = {
        name: replace(verdict, status=403) if verdict.status == 400 else verdict
        for name, verdict in (await expected_verdicts(world, requests)).items()
    }
    actual = await verdicts_of(world.address, f"{BASE}/verify", requests, Answer.forward_verdict)
    assert differences(expected, actual) == []
