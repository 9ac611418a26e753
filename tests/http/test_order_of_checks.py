"""Nothing later runs when something earlier fails: each request has every fault from one check on."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.http.world import BASE, World, code_of

LOGIN = f"{BASE}/oauth/token"

FAULTS: tuple[tuple[str, tuple[int, str], Mapping[str, Any]], ...] = (
    ("route", (404, "not_found"), {"path": f"{BASE}/oauth/tokens", "method": "PUT"}),
    ("method", (405, "method_not_allowed"), {"method": "PUT"}),
    ("headers", (400, "malformed_request"), {"twice": True}),
    ("size", (413, "body_too_large"), {"size": 100_000}),
    ("key", (403, "api_key_missing"), {"key": None}),
    ("origin", (403, "origin_not_allowed"), {"origin": "https://evil.example.com"}),
    ("media type", (415, "unsupported_media_type"), {"media_type": "text/plain"}),
    ("JSON", (400, "malformed_json"), {"body": b"{"}),
    ("fields", (422, "validation_failed"), {"body": b"{}"}),
)


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[name for name, _, _ in FAULTS])
async def test_the_earliest_fault_answers(world: World, first: int) -> None:
    faults: dict[str, Any] = {}
    for _, _, fault in reversed(FAULTS[first:]):
        faults |= fault
    headers = [("Content-Type", faults.get("media_type", "application/json"))]
    if "key" not in faults:
        headers.append(("Api-Key", world.key))
    if "origin" in faults:
        headers.append(("Origin", faults["origin"]))
    if "twice" in faults:
        headers += [("Authorization", "a"), ("Authorization", "b")]
    body = faults["body"] if "size" not in faults else b"x" * faults["size"]
    answer = await world.client.request(
        faults.get("method", "POST"), faults.get("path", LOGIN), headers=headers, content=body
    )
    assert code_of(answer) == FAULTS[first][1]


async def test_the_bearer_token_comes_before_the_body(world: World) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = await world.request("POST", f"{BASE}/oauth/token/revoke", headers=headers)
    assert code_of(answer) == (401, "access_token_missing")


async def test_the_key_comes_before_the_bearer_token(world: World) -> None:
    assert code_of(await world.info("a.b.c", key="nonsense")) == (403, "api_key_invalid")
