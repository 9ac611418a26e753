"""Rotating keys over HTTP: published before their first use, kept until their last token has ended."""

from dataclasses import replace
from typing import Any

import pytest

from keybearer.base64url import decode_base64url
from keybearer.jose.keys import SigningKey
from keybearer.server.domain.secret_keys import KeyPurpose, KeyState
from keybearer.server.flows.secret_keys import SecretKeys
from keybearer.server.ports import KeyEncryptionError
from keybearer.strict_json import loads
from tests.http.world import OPERATOR, World, attributes, running
from tests.support.backends import Backend


def keys_of(world: World) -> SecretKeys:
    return world.service._keys


async def published(world: World) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = (await world.request("GET", "/.well-known/jwks.json", key=None)).json()["keys"]
    return keys


def kid_of(token: str) -> Any:
    header = loads(decode_base64url(token.partition(".")[0]) or b"")
    assert isinstance(header, dict)
    return header["kid"]


async def test_a_signing_key_is_published_before_its_first_use_and_kept_after_its_last(world: World) -> None:
    old = await world.session()
    await keys_of(world).rotate(KeyPurpose.SIGNING, OPERATOR)
    await world.service.follower.catch_up()
    before = [key["kid"] for key in await published(world)]
    assert len(before) == 2
    assert kid_of((await world.session())["accessToken"]) == kid_of(old["accessToken"])

    await world.advance(900)
    fresh = await world.session()
    await world.service.upkeep.round()
    young = await world.session()
    assert kid_of(young["accessToken"]) != kid_of(fresh["accessToken"])
    assert (await world.info(fresh["accessToken"])).status_code == 200
    assert len(await published(world)) == 2

    await world.advance(900 + 121)
    await world.service.upkeep.round()
    assert [key["kid"] for key in await published(world)] == [kid_of(young["accessToken"])]


async def test_a_refresh_token_of_the_key_before_is_still_redeemed(world: World) -> None:
    session = await world.session()
    await keys_of(world).rotate(KeyPurpose.REFRESH_TOKEN, OPERATOR, now=True)
    await world.service.upkeep.round()
    refreshed = attributes(await world.refresh(session["refreshToken"]))
    again = attributes(await world.refresh(session["refreshToken"]))
    assert again["refreshToken"] == refreshed["refreshToken"]
    await world.advance(60)
    assert (await world.refresh(refreshed["refreshToken"])).status_code == 200


async def test_a_second_rotation_waits_for_the_first(world: World) -> None:
    assert await keys_of(world).rotate(KeyPurpose.SIGNING, OPERATOR) is not None
    assert await keys_of(world).rotate(KeyPurpose.SIGNING, OPERATOR) is None


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
async def test_other_algorithms(backend: Backend, algorithm: str) -> None:
    async with running(backend, {"signing_algorithm": algorithm}) as world:
        session = await world.session()
        assert (await world.info(session["accessToken"])).status_code == 200
        assert [key["alg"] for key in await published(world)] == [algorithm]


async def test_the_database_holds_no_key_in_clear(world: World) -> None:
    """What is stored opens with the key-encryption key only, and only as what it was sealed for."""
    stored = await world.storage.secret_keys.list_keys()
    loaded = await keys_of(world).load()
    for key in stored:
        assert loaded.signing.to_pkcs8() not in key.encrypted
        assert all(secret not in key.encrypted for secret in loaded.refresh.values())
    assert {key.purpose for key in stored} == set(KeyPurpose)


async def test_a_key_that_was_written_into_the_database_is_not_trusted(world: World) -> None:
    """Who can write to the database and has not the key-encryption key cannot make the service trust his own key."""
    forger = SigningKey.generate("ES256")
    (genuine,) = [key for key in await world.storage.secret_keys.list_keys() if key.purpose is KeyPurpose.SIGNING]
    planted = replace(genuine, id=1, kid=forger.kid, state=KeyState.NEXT, encrypted=forger.to_pkcs8())
    assert await world.storage.secret_keys.add(planted, OPERATOR)
    with pytest.raises(KeyEncryptionError):
        await keys_of(world).load()
    assert [key["kid"] for key in await published(world)] == [genuine.kid]
