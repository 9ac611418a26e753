"""The search for credentials in what a service leaves: nothing is found, until something is put there."""

from base64 import b64encode
from contextlib import closing

import pytest

from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.ground import Backend, prepared
from tests.faults.leavings import look_for_secrets
from tests.faults.operating import PASSWORD
from tests.faults.scene import Scene, opened
from tests.faults.wire import Request
from tests.support.secret_scan import Ledger
from tests.support.summary import note_backend

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


async def found(scene: Scene) -> set[tuple[str, str]]:
    """Where, and what."""
    report = await look_for_secrets(scene.ground, scene.operator, scene.replicas)
    assert report.credentials >= 5 and report.scanned > 0
    return {(_place(finding.where), finding.kind) for finding in report.findings}


def _place(where: str) -> str:
    """The database has many files, of which some hold the same."""
    name = where.rpartition("/")[2]
    return name if name in ("dump.sql", "replica-0.log", "metrics-0.txt") else "database"


@pytest.mark.parametrize("backend", BACKENDS)
async def test_what_a_service_leaves_holds_no_credential(backend: Backend, request: pytest.FixtureRequest) -> None:
    note_backend(request.node, backend)
    with prepared(backend, replicas=1) as ground:
        async with opened(ground) as scene:
            with closing(Ledger(ground.handed_out / "test")) as ledger:
                first = await use(scene, ledger)
            assert await found(scene) == set()
            # As a service would that logs what it is sent, and one that writes it down.
            with (ground.home / "replica-0.log").open("a", encoding="utf-8") as log:
                log.write(f"POST /v1/api/oauth/token {PASSWORD}\n")
            await scene.ask(sent_as_agent(scene, b64encode(first.refresh_token.encode()).decode()))
            assert await found(scene) == {
                ("replica-0.log", "password"),
                ("database", "refresh token"),
                ("dump.sql", "refresh token"),
            }


async def use(scene: Scene, ledger: Ledger) -> Held:
    """All that a session goes through, and what is refused; the tokens that were had first."""
    held = await scene.log_in()
    after = await scene.granted(held)
    for each in (held, after):
        ledger.note("refresh token", each.refresh_token)
        ledger.note("access token", each.access_token)
    for request in (
        calls.log_in(scene.api_key, scene.username, f"{PASSWORD}, or not"),
        calls.log_in(scene.api_key, PASSWORD, scene.username),
        calls.log_in(scene.api_key[:-1], scene.username, PASSWORD),
        calls.inspect(scene.api_key, Held(held.id, held.refresh_token, held.access_token[:-1])),
        calls.inspect(held.access_token, after),
        calls.revoke(scene.api_key, after),
    ):
        assert await scene.ask(request) is not None
    return held


def sent_as_agent(scene: Scene, agent: str) -> Request:
    request = calls.log_in(scene.api_key, scene.username, PASSWORD)
    return Request(request.method, request.path, {**request.headers, "User-Agent": agent}, request.body)
