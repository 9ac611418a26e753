"""The requests that every integration must answer as the service's token info does: each state of the key with each
state of the token, and headers that are malformed or sent twice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, hash_api_key, make_api_key
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.ids import uuid7
from tests.guard.integrations.forged import Forger
from tests.http.world import OPERATOR, ORIGIN, World

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the corpus. `internal_key`: its key has permissions, and works at the service only."""

    name: str
    headers: Headers
    query: str = ""
    internal_key: bool = False


@dataclass(frozen=True, slots=True)
class KeyState:
    headers: Headers
    internal: bool = False


@dataclass(frozen=True, slots=True)
class TokenState:
    headers: Headers
    query: str = ""


@dataclass(slots=True)
class Population:
    """What the corpus is about, made in a world: `key` and `token` are good and belong together."""

    key: str
    token: str
    keys: dict[str, KeyState] = field(default_factory=dict)
    tokens: dict[str, TokenState] = field(default_factory=dict)


async def populate(world: World) -> Population:
    """Make every key and every token, and let the service see it."""
    forger = await Forger.of(world)
    population = Population(world.key, forger.good())
    population.keys = await _keys(world)
    population.tokens = await _tokens(world, forger)
    await world.service.follower.catch_up()
    return population


MAIN_KEYS = ("publishable", "publishable with an allowed origin", "another application's")
MAIN_TOKENS = (
    "missing",
    "in the query",
    "good",
    "Basic",
    "empty",
    "with '+'",
    "too long",
    "revoked with its session",
    "revoked with its user",
    "forged, expired",
    "forged, for another application",
    "forged, of another issuer",
    "forged, alg none",
)
"""Every key goes with these tokens, and every token with those keys."""


def requests_of(population: Population) -> Iterator[Request]:
    for key_name, key in population.keys.items():
        for token_name, token in population.tokens.items():
            if key_name in MAIN_KEYS or token_name in MAIN_TOKENS:
                name = f"key {key_name}, token {token_name}"
                yield Request(name, key.headers + token.headers, token.query, key.internal)
    for name, headers in _malformed(population.key, f"Bearer {population.token}").items():
        yield Request(f"headers {name}", headers)


# --- keys ------------------------------------------------------------------------------------------------------------


async def _keys(world: World) -> dict[str, KeyState]:
    other = await world.add_application("Other", ("https://other.example.com",))
    disabled = await world.add_application("Disabled")
    disabled_key, _ = await world.add_key(disabled, ApiKeyKind.PUBLISHABLE)
    await world.storage.applications.set_enabled(disabled.id, False, OPERATOR)
    revoked_key, revoked = await world.add_key(world.application, ApiKeyKind.PUBLISHABLE)
    await world.storage.api_keys.revoke(revoked.id, OPERATOR)
    expired_key, _ = await world.add_key(world.application, ApiKeyKind.SECRET, expires_at=world.clock.now())
    other_key, _ = await world.add_key(other, ApiKeyKind.PUBLISHABLE)
    unknown_key = make_api_key(ApiKeyKind.PUBLISHABLE, world.randomness.bytes(RANDOM_BYTES))
    sent = {
        "publishable": world.key,
        "secret": world.secret,
        "empty": "",
        "malformed": "nonsense",
        "mistyped": world.key[:-1] + ("A" if world.key[-1] != "A" else "B"),
        "of another prefix": "kbr_" + world.key[4:],
        "foreign characters": "kbp_\xe9\xff" + world.key[6:],
        "long": world.key * 40,
        "unknown": unknown_key,
        "revoked": revoked_key,
        "expired": expired_key,
        "disabled": disabled_key,
        "another application's": other_key,
    }
    keys = {name: KeyState((("Api-Key", key),)) for name, key in sent.items()}
    for permission in ("guard", "admin"):
        key = await add_internal_key(world, permission)
        keys[f"with permission {permission}"] = KeyState((("Api-Key", key),), internal=True)
    return {"missing": KeyState(()), **keys, **_with_origins(keys)}


async def add_internal_key(world: World, permission: str) -> str:
    """A secret key with a permission."""
    text = make_api_key(ApiKeyKind.SECRET, world.randomness.bytes(RANDOM_BYTES))
    now = world.clock.now()
    key = ApiKey(
        id=uuid7(now, world.randomness.bytes(10)),
        application_id=world.application.id,
        kind=ApiKeyKind.SECRET,
        key_hash=hash_api_key(text),
        hint=text[:8],
        permissions=frozenset({permission}),
        created_at=now,
    )
    await world.storage.api_keys.create(key, OPERATOR)
    await world.service.follower.catch_up()
    return text


def _with_origins(keys: Mapping[str, KeyState]) -> dict[str, KeyState]:
    origins = {
        "an allowed origin": ORIGIN,
        "a foreign origin": "https://evil.example.com",
        "the origin null": "null",
        "an empty origin": "",
    }
    return {
        f"{name} with {origin_name}": replace(keys[name], headers=(*keys[name].headers, ("Origin", origin)))
        for name in ("publishable", "secret", "revoked", "another application's")
        for origin_name, origin in origins.items()
    }


# --- tokens ----------------------------------------------------------------------------------------------------------


async def _tokens(world: World, forger: Forger) -> dict[str, TokenState]:
    good = forger.good()
    values = {
        "good": f"Bearer {good}",
        "good, with the scheme in lower case": f"bearer {good}",
        "good, after two spaces": f"Bearer  {good}",
        "Basic": "Basic amFuZTpzZWNyZXQ=",
        "empty": "",
        "of a scheme only": "Bearer",
        "without a scheme": good,
        "after a tab": f"Bearer\t{good}",
        **{f"with {character!r}": f"Bearer {good[:30]}{character}{good[30:]}" for character in "+/=~% :\"'{\xe9\xff,"},
        "too long": "Bearer " + "a" * 8193,
        "as long as can be": "Bearer " + "a" * 8192,
        "a refresh token": f"Bearer {(await world.session())['refreshToken']}",
        "revoked with its session": f"Bearer {await _logged_out(world)}",
        "revoked with its user": f"Bearer {await _of_a_changed_user(world)}",
        **{f"forged, {name}": f"Bearer {token}" for name, token in forger.tokens().items()},
    }
    tokens = {name: TokenState((("Authorization", value),)) for name, value in values.items()}
    return {"missing": TokenState(()), "in the query": TokenState((), f"access_token={good}"), **tokens}


async def _logged_out(world: World) -> str:
    token: str = (await world.session())["accessToken"]
    assert (await world.revoke(token)).status_code == 200
    return token


async def _of_a_changed_user(world: World) -> str:
    """The user's roles have changed since."""
    user = await world.add_user("ver@example.com")
    token: str = (await world.session(username="ver@example.com"))["accessToken"]
    await world.storage.users.set_roles(user.id, add=frozenset({"editor"}), actor=OPERATOR)
    return token


# --- headers ---------------------------------------------------------------------------------------------------------


def _malformed(key: str, bearer: str) -> dict[str, Headers]:
    """Repeated headers, and single ones with a comma: a server may hand over either form for the other."""
    api_key, authorization, origin = ("Api-Key", key), ("Authorization", bearer), ("Origin", ORIGIN)
    return {
        "key twice": (api_key, api_key, authorization),
        "key twice, one empty": (api_key, ("Api-Key", ""), authorization),
        "key twice in other case": (api_key, ("API-KEY", key), authorization),
        "key three times": (api_key, api_key, ("Api-Key", "x"), authorization),
        "key with a comma": (("Api-Key", f"{key},{key}"), authorization),
        "key with a comma and a space": (("Api-Key", f"{key}, {key}"), authorization),
        "key of a comma": (("Api-Key", ","), authorization),
        "token twice": (api_key, authorization, authorization),
        "token twice, other first": (api_key, ("Authorization", "Bearer a.b.c"), authorization),
        "token and Basic": (api_key, authorization, ("Authorization", "Basic amFuZTpzZWNyZXQ=")),
        "Basic and token": (api_key, ("Authorization", "Basic amFuZTpzZWNyZXQ="), authorization),
        "token and an empty one": (api_key, authorization, ("Authorization", "")),
        "an empty one and token": (api_key, ("Authorization", ""), authorization),
        "token and a bare one": (api_key, authorization, ("Authorization", bearer[7:])),
        "two bare ones": (api_key, ("Authorization", "a"), ("Authorization", "b")),
        "two tokens in one header": (api_key, ("Authorization", f"{bearer},{bearer}")),
        "two tokens in one header, with a space": (api_key, ("Authorization", f"{bearer}, {bearer}")),
        "Digest": (api_key, ("Authorization", 'Digest username="jane", realm="shop"')),
        "origin twice": (api_key, authorization, origin, origin),
        "origin twice, foreign first": (api_key, authorization, ("Origin", "https://evil.example.com"), origin),
        "origins in one header": (api_key, authorization, ("Origin", f"{ORIGIN}, {ORIGIN}")),
        "all of them twice": (api_key, api_key, authorization, authorization, origin, origin),
        "key twice without a token": (api_key, api_key),
        "token twice without a key": (authorization, authorization),
        "in capitals": (("API-KEY", key), ("AUTHORIZATION", bearer)),
        "in lower case": (("api-key", key), ("authorization", bearer)),
        "other ones twice": (api_key, authorization, ("X-Other", "a"), ("X-Other", "b"), ("Accept", "*/*")),
        "a request id": (api_key, ("X-Request-Id", "abc-123.X_y")),
        "a request id that is refused": (api_key, ("X-Request-Id", "abc 123")),
    }
