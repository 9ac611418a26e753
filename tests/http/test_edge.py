"""What every answer carries: request ids, CORS, no-store; and what needs no credentials."""

import gc
import json
from pathlib import Path

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tests.http.world import BASE, ORIGIN, World, code_of


async def test_a_request_id_is_taken_over(world: World) -> None:
    answer = await world.info(None, headers={"X-Request-Id": "abc-123._X"})
    assert answer.headers["x-request-id"] == "abc-123._X"


@pytest.mark.parametrize("sent", ["with space", "x" * 65, "", "a/b", "é"])
async def test_a_malformed_request_id_is_replaced(world: World, sent: str) -> None:
    answer = await world.info(None, headers={"X-Request-Id": sent.encode("latin-1")})
    assert answer.headers["x-request-id"] not in ("", sent)


async def test_request_ids_differ(world: World) -> None:
    ids = {(await world.info(None)).headers["x-request-id"] for _ in range(10)}
    assert len(ids) == 10


async def test_every_answer_has_a_date_and_is_not_stored(world: World) -> None:
    for answer in (await world.log_in(), await world.info(None), await world.request("GET", "/nothing")):
        assert "date" in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


async def test_a_preflight_needs_no_key(world: World) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = await world.request("OPTIONS", f"{BASE}/oauth/token", key=None, headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-methods"] == "POST"
    allowed = {name.strip() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"Api-Key", "Authorization", "Content-Type", "Idempotency-Key"} <= allowed
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_preflight_of_a_foreign_origin_goes_no_further(world: World) -> None:
    headers = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
    answer = await world.request("OPTIONS", f"{BASE}/oauth/token", key=None, headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"


async def test_refusals_are_readable_by_a_browser(world: World) -> None:
    for answer in (
        await world.log_in(key=None, headers={"Origin": ORIGIN}),
        await world.info(None, headers={"Origin": ORIGIN}),
        await world.request("GET", "/nothing", headers={"Origin": ORIGIN}),
    ):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert exposed == {"WWW-Authenticate", "Retry-After", "X-Request-Id", "Date"}


async def test_an_origin_of_another_application_is_refused(world: World) -> None:
    other = "https://other.example.com"
    await world.add_application("Other", origins=(other,))
    await world.service.follower.catch_up()
    answer = await world.log_in(headers={"Origin": other})
    assert code_of(answer) == (403, "origin_not_allowed")
    assert answer.headers["access-control-allow-origin"] == other


async def test_health(world: World) -> None:
    for path in ("/health/live", "/health/ready"):
        assert (await world.request("GET", path, key=None)).status_code == 200
        assert (await world.request("HEAD", path, key=None)).status_code == 200
    world.service.draining = True
    assert (await world.request("GET", "/health/ready", key=None)).status_code == 503
    assert (await world.request("GET", "/health/live", key=None)).status_code == 200


async def test_the_served_contract_is_the_documented_one(world: World) -> None:
    served = (await world.request("GET", "/openapi.json", key=None)).json()
    documented = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
    assert served == documented


async def test_every_operation_says_which_codes_it_can_answer(world: World) -> None:
    document = (await world.request("GET", "/openapi.json", key=None)).json()
    login = document["paths"][f"{BASE}/oauth/token"]["post"]["responses"]
    assert login["401"]["x-codes"] == ["invalid_credentials"]
    assert login["429"]["x-codes"] == ["too_many_attempts"]
    assert "Retry-After" in login["503"]["headers"]
    info = document["paths"][f"{BASE}/oauth/token/info"]["get"]["responses"]
    assert "access_token_revoked" in info["401"]["x-codes"]


async def test_key_set_may_be_cached(world: World) -> None:
    answer = await world.request("GET", "/.well-known/jwks.json", key=None)
    assert answer.headers["cache-control"] == "public, max-age=300"
    (key,) = answer.json()["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("EC", "ES256", "sig")
    assert "d" not in key


async def test_an_answered_request_does_not_wait_for_the_garbage_collector(world: World) -> None:
    """Its rounds stop every request; what makes no cycles needs none (app.py sets them far apart)."""
    token = (await world.session())["accessToken"]
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert (await world.info(token)).status_code == 200
        left = sum(isinstance(found, RequestResponseCycle) for found in gc.get_objects())
    finally:
        gc.enable()
    assert left <= 2  # the last of each connection
