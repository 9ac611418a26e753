"""Others' libraries, with nothing of ours but the published keys: they take our tokens, and no forged one."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from tests.guard.integrations.forged import Forger
from tests.http.world import World, running
from tests.support.databases import Databases

NODE = Path(__file__).parent / "node"
ISSUER = "https://auth.example.com"
LAST_SECOND = "expiring now"

GOOD = ("nbf past", "for many audiences")
BAD = (
    "expired",
    LAST_SECOND,
    "expired since 1970",
    "of another issuer",
    "of an issuer with a slash",
    "for another audience",
    "for no audience",
    "nbf to come",
    "without sub",
    "without exp",
    "without iat",
    "without client_id",
    "claims that are not JSON",
    "unknown kid",
    "another typ",
    "another alg",
    "crit",
    "by a stranger",
    "by a stranger under our kid",
    "other claims",
    "alg none",
    "alg none with a signature",
    "HS256 with the public key",
    "no signature",
    "a signature of zeros",
    "half a signature",
    "two segments",
    "four segments",
    "dots",
    "words",
)
"""What every careful verifier refuses. About others they differ: PyJWT takes an `exp` that is a text, for one."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where the keys are, and tokens by name; `good` are the names of those that must be taken."""

    url: str
    tokens: Mapping[str, str]
    good: frozenset[str]

    def expected(self) -> dict[str, bool]:
        return {name: name in self.good for name in self.tokens}


@pytest.fixture
async def published(sqlite_databases: Databases) -> AsyncIterator[Published]:
    """A service of today: others read the clock of the machine."""
    backend = await sqlite_databases.new().connect()
    await backend.clock.set(int(time.time()) * 1000)
    async with running(backend) as world:
        yield await publish(world)
    await backend.close_all()
    sqlite_databases.release()


async def publish(world: World) -> Published:
    forged = (await Forger.of(world)).tokens()
    tokens = {name: forged[name] for name in (*GOOD, *BAD)}
    session = await world.session()
    refreshed = (await world.refresh(session["refreshToken"])).json()["data"]["attributes"]
    tokens |= {"of a login": session["accessToken"], "of a refresh": refreshed["accessToken"]}
    url = "http://{}:{}/.well-known/jwks.json".format(*world.address)
    return Published(url, tokens, frozenset({*GOOD, "of a login", "of a refresh"}))


async def takings(published: Published, verify: Callable[[str], object], *refusals: type[Exception]) -> dict[str, bool]:
    """What a verifier that raises takes."""

    def take(token: str) -> bool:
        try:
            verify(token)
        except refusals:
            return False
        return True

    return await asyncio.to_thread(lambda: {name: take(token) for name, token in published.tokens.items()})


async def test_pyjwt(published: Published) -> None:
    client = jwt.PyJWKClient(published.url)

    def verify(token: str) -> None:
        if jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("of another type")
        key = client.get_signing_key_from_jwt(token)
        required: Any = {"require": ["sub", "client_id", "exp", "iat"]}
        jwt.decode(token, key, algorithms=["ES256"], issuer=ISSUER, audience=ISSUER, options=required)

    assert await takings(published, verify, jwt.PyJWTError) == published.expected()


async def keys_of(published: Published) -> Any:
    async with httpx2.AsyncClient() as client:
        return (await client.get(published.url)).json()


async def test_joserfc(published: Published) -> None:
    """The JOSE library of Authlib."""
    keys = KeySet.import_key_set(await keys_of(published))
    ours: ClaimsOption = {"essential": True, "value": ISSUER}
    there: ClaimsOption = {"essential": True}
    registry = JWTClaimsRegistry(iss=ours, aud=ours, sub=there, client_id=there, exp=there, iat=there)

    def verify(token: str) -> None:
        decoded = joserfc_jwt.decode(token, keys, algorithms=["ES256"])
        if decoded.header.get("typ") != "at+jwt":
            raise ValueError("of another type")
        registry.validate(decoded.claims)

    assert await takings(published, verify, JoseError, ValueError) == published.expected()


async def test_authlib_by_rfc_9068(published: Published) -> None:
    """As a resource server has it that is told nothing but issuer and audience."""
    keys = KeySet.import_key_set(await keys_of(published))

    class Validator(JWTBearerTokenValidator):
        def get_jwks(self) -> KeySet:
            return keys

    validator = Validator(issuer=ISSUER, resource_server=ISSUER)

    def verify(token: str) -> None:
        validator.validate_token(validator.authenticate_token(token), scopes=None, request=None)

    assert await takings(published, verify, InvalidTokenError) == published.expected()


@pytest.mark.filterwarnings("ignore:authlib.jose module is deprecated:authlib.deprecate.AuthlibDeprecationWarning")
async def test_authlib_by_its_own_jose(published: Published) -> None:
    """Older than joserfc, and another implementation. It takes a token in the second of its `exp` (not so RFC 7519)."""
    from authlib.jose import JsonWebKey, JsonWebToken  # noqa: PLC0415 - to import it is what warns
    from authlib.jose.errors import JoseError  # noqa: PLC0415 - as above

    keys = JsonWebKey.import_key_set(await keys_of(published))
    ours = {"essential": True, "value": ISSUER}
    there = {"essential": True}
    options = {"iss": ours, "aud": ours, "sub": there, "client_id": there, "exp": there, "iat": there}

    def verify(token: str) -> None:
        claims = JsonWebToken(["ES256"]).decode(token, keys, claims_options=options)
        if claims.header.get("typ") != "at+jwt":
            raise ValueError("of another type")
        claims.validate()

    tokens = {name: token for name, token in published.tokens.items() if name != LAST_SECOND}
    asked = replace(published, tokens=tokens)
    assert await takings(asked, verify, JoseError, ValueError) == asked.expected()


async def test_jose(published: Published) -> None:
    """In Node, whose package is installed beside the script first."""
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    await asyncio.to_thread(subprocess.run, install, cwd=NODE, check=True, timeout=300)
    question = {"url": published.url, "issuer": ISSUER, "audience": ISSUER, "tokens": dict(published.tokens)}
    answered = await asyncio.to_thread(
        subprocess.run,
        ["node", "verify.js"],
        cwd=NODE,
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(answered.stdout) == published.expected()
