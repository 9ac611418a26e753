"""The key set of a guard (clients.md G2)."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from keybearer.errors import AccessTokenInvalid, KeybearerError, StorageUnavailable
from keybearer.guard import Credentials, Guard
from keybearer.guard._keys import _max_age
from keybearer.jose.keys import SigningKey
from tests.guard.feed_server import KEY, LIMITS, FeedServer, eventually, started

JWKS = "/.well-known/jwks.json"
STRANGER = SigningKey.generate("ES256")


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as server:
        yield server


@pytest.fixture
def guard(server: FeedServer) -> Iterator[Guard]:
    with started(server.guard()) as guard:
        settle(server, guard)
        yield guard


def settle(server: FeedServer, guard: Guard) -> None:
    """Wait until the guard has the version that the snapshot names."""
    eventually(lambda: not guard._source._keeper.is_behind())  # type: ignore[attr-defined]  # a Service


def outcome(guard: Guard, credentials: Credentials) -> type[KeybearerError] | None:
    try:
        guard.verify(credentials)
    except KeybearerError as error:
        return type(error)
    return None


def by_stranger(server: FeedServer, number: int) -> Credentials:
    return Credentials(KEY, f"Bearer {server.token(number, key=STRANGER)}")


def test_ten_thousand_unknown_keys_cost_one_fetch(server: FeedServer, guard: Guard) -> None:
    fetches = server.count(JWKS)
    tokens = [by_stranger(server, number) for number in range(100)]
    for _ in range(100):
        assert {outcome(guard, token) for token in tokens} == {AccessTokenInvalid}
    eventually(lambda: server.count(JWKS) > fetches)
    assert {outcome(guard, token) for token in tokens} == {AccessTokenInvalid}
    assert server.count(JWKS) - fetches == 1 == guard.metrics.key_fetches - fetches


def test_an_attempt_that_failed_counts(server: FeedServer, guard: Guard) -> None:
    server.status = {JWKS: 500}
    fetches = server.count(JWKS)
    for number in range(100):
        assert outcome(guard, by_stranger(server, number)) is AccessTokenInvalid
    eventually(lambda: guard.metrics.key_fetches_failed)
    assert server.count(JWKS) - fetches == 1
    assert outcome(guard, server.credentials()) is None


def test_a_key_that_was_unknown_is_found(server: FeedServer, guard: Guard) -> None:
    """A rotation of which the feed has not told: one token is refused, and sets off the fetch."""
    server.signing_keys.append(STRANGER)
    assert outcome(guard, server.credentials()) is AccessTokenInvalid
    eventually(lambda: outcome(guard, server.credentials()) is None)


def test_a_rotation_of_which_the_feed_tells_refuses_no_token(server: FeedServer, guard: Guard) -> None:
    old = server.credentials()
    server.signing_keys.append(STRANGER)
    new = server.credentials()
    server.publish({"kind": "keySet", "version": 2})
    eventually(lambda: guard._knowledge.state.key_set_version == 2)
    assert outcome(guard, new) in (None, StorageUnavailable)
    eventually(lambda: outcome(guard, new) is None)
    assert outcome(guard, old) is None


def test_a_key_on_its_way_is_no_reason_for_a_401(server: FeedServer, guard: Guard) -> None:
    hanging = threading.Event()
    server.signing_keys.append(STRANGER)
    document = server.jwks

    def jwks() -> Any:
        hanging.wait(10)
        return document()

    server.jwks = jwks
    server.publish({"kind": "keySet", "version": 2})
    eventually(lambda: guard._knowledge.state.key_set_version == 2)
    with pytest.raises(StorageUnavailable) as raised:
        guard.verify(server.credentials())
    assert raised.value.retry_after == 1
    assert outcome(guard, Credentials(KEY, f"Bearer {server.token(key=server.signing_keys[0])}")) is None
    hanging.set()
    eventually(lambda: outcome(guard, server.credentials()) is None)


def test_a_hanging_endpoint_does_not_hold_up_known_keys(server: FeedServer) -> None:
    with started(server.guard(limits=replace(LIMITS, unknown_key_interval=0))) as guard:
        settle(server, guard)
        hanging = threading.Event()

        def jwks() -> bytes:
            hanging.wait(1.5)
            return b""

        server.jwks = jwks
        fetches = server.count(JWKS)
        assert outcome(guard, by_stranger(server, 1)) is AccessTokenInvalid
        eventually(lambda: server.count(JWKS) > fetches)
        for number in range(1000):
            assert outcome(guard, server.credentials(number)) is None
            assert outcome(guard, by_stranger(server, number)) is AccessTokenInvalid
        assert server.count(JWKS) == fetches + 1
        hanging.set()


def test_a_key_gone_from_a_good_set_stops_at_once(server: FeedServer, guard: Guard) -> None:
    old = server.credentials()
    assert outcome(guard, old) is None
    server.signing_keys[:] = [SigningKey.generate("ES256")]
    server.publish({"kind": "keySet", "version": 2})
    eventually(lambda: outcome(guard, old) is AccessTokenInvalid)
    assert outcome(guard, server.credentials()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"keys":[]}',
        b'{"keys":{}}',
        b"[]",
        b"<html>",
        b"\xff",
        b'{"keys":[1]}',
        b'{"keys":[{"kty":"oct","k":"AAAA"}]}',
        b'{"keys":[{"kty":"EC","alg":"ES256","kid":"x","crv":"P-256","x":"A","y":"B"}]}',
        b'{"keys":[{"kty":"unknown"}]}',
        b" " * 300_000,
        b"[" * 100_000,
    ],
)
def test_what_is_no_key_set_is_never_kept(server: FeedServer, guard: Guard, body: bytes) -> None:
    known, document = server.credentials(), server.jwks
    server.jwks = lambda: body
    server.publish({"kind": "keySet", "version": 2})
    eventually(lambda: guard.metrics.key_fetches_failed)
    assert outcome(guard, known) is None
    server.jwks = document
    eventually(lambda: not guard._source._keeper.is_behind())  # type: ignore[attr-defined]  # a Service
    assert outcome(guard, known) is None


def test_known_keys_go_on_for_a_bounded_time(server: FeedServer) -> None:
    with started(server.guard(limits=replace(LIMITS, keys_lifetime=1, unknown_key_interval=0))) as guard:
        known = server.credentials()
        server.status = {JWKS: 500}
        outcome(guard, by_stranger(server, 1))
        eventually(lambda: outcome(guard, known) is StorageUnavailable)
        server.status = {}
        eventually(lambda: outcome(guard, known) is None)


def test_without_keys_the_answer_is_503(server: FeedServer) -> None:
    server.status = {JWKS: 404}
    guard = server.guard()
    try:
        assert outcome(guard, server.credentials()) is StorageUnavailable
        assert outcome(guard, by_stranger(server, 1)) is StorageUnavailable
        assert outcome(guard, Credentials(KEY, "Bearer nonsense")) is StorageUnavailable
    finally:
        guard.close()


def test_an_unchanged_set_forgets_no_token(server: FeedServer, guard: Guard) -> None:
    credentials = server.credentials()
    caller = guard.verify(credentials)
    fetches = server.count(JWKS)
    outcome(guard, by_stranger(server, 1))
    eventually(lambda: server.count(JWKS) > fetches)
    assert guard.verify(credentials) is caller


def test_algorithms_are_pinned(server: FeedServer) -> None:
    with started(server.guard(algorithms=["EdDSA"])) as guard:
        assert outcome(guard, server.credentials()) is AccessTokenInvalid


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("public, max-age=300", 300),
        ("max-age=0", 30),
        ("max-age=999999999", 3600),
        ("s-maxage=5", 300),
        ("no-cache", 300),
        ("", 300),
        ("max-age=x", 300),
        ("max-age=60,public", 60),
    ],
)
def test_how_long_a_set_is_kept(header: str, seconds: int) -> None:
    assert _max_age(header) == seconds


def test_an_oversized_set_is_not_read_to_its_end(server: FeedServer, guard: Guard) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(1000):
            yield json.dumps(" " * 65_536).encode()

    server.jwks = parts
    server.publish({"kind": "keySet", "version": 2})
    eventually(lambda: guard.metrics.key_fetches_failed)
    assert outcome(guard, server.credentials()) is None
