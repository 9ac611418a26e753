"""What a guard does while it has lost sight of revocations (clients.md G4), and whose clock says so."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, make_api_key
from keybearer.errors import (
    AccessTokenCorrupted,
    AccessTokenExpired,
    AccessTokenInvalid,
    AccessTokenMissing,
    AccessTokenRevoked,
    ApiKeyInvalid,
    ApiKeyMissing,
    ApiKeyRevoked,
    KeybearerError,
    Overloaded,
    PermissionDenied,
    StorageUnavailable,
)
from keybearer.guard import Caller, Credentials, Guard, Requirements
from keybearer.guard._revocations import Revocations
from tests.guard.feed_server import KEY, LIMITS, FeedServer, eventually, session_id, started

INFO = "/v1/api/oauth/token/info"


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as server:
        yield server


class Steady:
    """The real steady clock, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> int:
        return time.monotonic_ns() + int(self.ahead * 1e9)


def outcome(guard: Guard, credentials: Credentials, **requirements: Any) -> type[KeybearerError] | None:
    try:
        guard.verify(credentials, Requirements(**requirements))
    except KeybearerError as error:
        return type(error)
    return None


def silence(server: FeedServer) -> None:
    """The feed is cut and does not come back."""
    server.heartbeats = False
    server.status = {"/v1/api/feed": 503, "/v1/api/feed/snapshot": 503}
    server.cut()


class TestPolicies:
    def test_reject(self, server: FeedServer) -> None:
        steady = Steady()
        with started(server.guard(steady=steady)) as guard:
            credentials = server.credentials()
            silence(server)
            steady.ahead = 50
            assert outcome(guard, credentials) is None
            assert 50 <= guard.staleness < 60 and 50 <= guard.metrics.staleness < 60
            steady.ahead = 62
            assert outcome(guard, Credentials(None, credentials.authorization)) is ApiKeyMissing
            with pytest.raises(StorageUnavailable) as raised:
                guard.verify(credentials)
            assert raised.value.retry_after >= 1
            server.status = {}
            eventually(lambda: guard.staleness < 5)

    def test_accept_until_the_tokens_own_end(self, server: FeedServer) -> None:
        steady = Steady()
        with started(server.guard(steady=steady, on_stale="accept")) as guard:
            credentials = server.credentials()
            silence(server)
            steady.ahead = 600
            assert outcome(guard, credentials) is None
            assert outcome(guard, credentials, on_stale="reject") is StorageUnavailable
            steady.ahead = 905
            assert outcome(guard, credentials) is AccessTokenExpired

    def test_nothing_is_accepted_before_the_first_snapshot(self, server: FeedServer) -> None:
        server.status = {"/v1/api/feed/snapshot": 403}
        guard = server.guard(on_stale="accept")
        try:
            assert outcome(guard, server.credentials()) is StorageUnavailable
            assert guard.staleness == float("inf")
        finally:
            guard.close()

    def test_a_route_decides_for_itself(self, server: FeedServer) -> None:
        server.lag = 100
        with started(server.guard()) as guard:
            assert outcome(guard, server.credentials()) is StorageUnavailable
            assert outcome(guard, server.credentials(), on_stale="accept") is None


class TestClocks:
    @pytest.mark.parametrize("skew", [-86_400.0, 86_400.0])
    def test_this_machines_clock_may_be_wrong(self, server: FeedServer, skew: float) -> None:
        server.skew = skew
        with started(server.guard()) as guard:
            eventually(lambda: server.streams)
            assert guard.staleness < 10
            assert outcome(guard, server.credentials()) is None
            now = server.now() // 1000
            late = server.credentials(issued_at=now - 901, expires_at=now - 1)
            assert outcome(guard, late) is AccessTokenExpired

    def test_heartbeats_that_were_held_up_look_old(self, server: FeedServer) -> None:
        steady = Steady()
        with started(server.guard(steady=steady)) as guard:
            eventually(lambda: server.streams)
            server.heartbeats = False
            old = server.now()
            steady.ahead = 100
            server.send(server.heartbeat(asOf=old, now=old))
            server.revoke(1)
            eventually(lambda: guard.metrics.entries)
            assert guard.staleness >= 99
            assert outcome(guard, server.credentials()) is StorageUnavailable

    def test_a_replica_that_is_cut_off_from_its_database_looks_old(self, server: FeedServer) -> None:
        """Its heartbeats arrive, and say that what it knows is old."""
        steady = Steady()
        with started(server.guard(steady=steady)) as guard:
            eventually(lambda: server.streams)
            server.lag = server.skew = steady.ahead = 70
            eventually(lambda: guard.staleness >= 69)
            assert outcome(guard, server.credentials()) is StorageUnavailable

    def test_a_state_from_the_future_is_not_fresher_than_now(self, server: FeedServer) -> None:
        steady = Steady()
        with started(server.guard(steady=steady)) as guard:
            eventually(lambda: server.streams)
            server.send(server.heartbeat(asOf=server.now() + 10**9))
            server.revoke(1)
            eventually(lambda: guard.metrics.entries)
            silence(server)
            steady.ahead = 100
            assert guard.staleness >= 99

    def test_a_service_that_steps_forward(self, server: FeedServer) -> None:
        with started(server.guard()) as guard:
            old = server.credentials()
            server.skew = 1000
            eventually(lambda: outcome(guard, old) is AccessTokenExpired)
            eventually(lambda: guard.staleness < 5)
            assert outcome(guard, server.credentials()) is None

    def test_a_service_that_comes_back_with_an_earlier_clock(self, server: FeedServer) -> None:
        with started(server.guard()) as guard:
            server.skew = -1000
            server.cut()
            eventually(lambda: outcome(guard, server.credentials(expires_at=server.now() // 1000 + 10)) is None)
            eventually(lambda: guard.staleness < 5)
            silence(server)
            before = guard.staleness
            time.sleep(0.05)
            assert guard.staleness > before

    def test_a_service_that_was_set_back_is_asked_for_everything_again(self, server: FeedServer) -> None:
        """By the later clock the revocation was over and was dropped; by the earlier one the token still holds."""
        server.sessions.append({"kind": "session", "id": session_id(1), "expiresAt": server.now() + 600_000})
        with started(server.guard()) as guard:
            credentials = server.credentials(1)
            eventually(lambda: outcome(guard, credentials) is AccessTokenRevoked)
            server.skew = 2000
            eventually(lambda: guard._knowledge.clock.now() > server.now() - 5000 and len(_revocations(guard)) == 0)
            server.skew = 0
            server.cut()
            eventually(lambda: outcome(guard, server.credentials(2)) is None)
            assert outcome(guard, credentials) is AccessTokenRevoked


def _revocations(guard: Guard) -> Revocations:
    return guard._knowledge.state.revocations


class TestIntrospection:
    @pytest.fixture
    def guard(self, server: FeedServer) -> Iterator[Guard]:
        server.lag = 100
        with started(server.guard(on_stale="introspect")) as guard:
            yield guard

    def answer(self, server: FeedServer, **claims: Any) -> None:
        now = server.now() // 1000
        claims = {
            "iss": server.issuer,
            "sub": "u",
            "aud": server.issuer,
            "client_id": "a",
            "sid": "s",
            "jti": "t",
            "iat": now,
            "exp": now + 900,
            "ver": 1,
        } | claims
        attributes = {
            "expiresIn": 900,
            "issuedAt": "",
            "expiresAt": "",
            "userId": "u",
            "applicationId": "a",
            "sessionId": "s",
            "claims": claims,
        }
        document = {"data": {"id": "t", "type": "token", "attributes": attributes}}
        server.token_info = lambda: json.dumps(document).encode()

    def refuse(self, server: FeedServer, status: int, code: str, detail: str = "It is so.") -> None:
        server.status = {INFO: status}
        problem = {"status": str(status), "code": code, "title": "t", "detail": detail, "new": 1}
        server.token_info = lambda: json.dumps({"errors": [problem]}).encode()

    def test_the_services_word(self, server: FeedServer, guard: Guard) -> None:
        self.answer(server, roles=["editor"], scope="read write")
        credentials = replace_origin(server.credentials(), "https://app.example")
        caller = guard.verify(credentials, Requirements(roles=frozenset({"editor"})))
        assert isinstance(caller, Caller)
        assert (caller.user_id, caller.roles, sorted(caller.scope)) == ("u", ("editor",), ["read", "write"])
        headers = dict(server.asked)[INFO]
        assert headers["api-key"] == KEY and headers["origin"] == "https://app.example"
        assert headers["authorization"] == credentials.authorization
        assert outcome(guard, credentials, roles=frozenset({"admin"})) is PermissionDenied

    @pytest.mark.parametrize("claim", ["iss", "aud"])
    def test_tokens_of_others_are_refused_whatever_it_says(self, server: FeedServer, guard: Guard, claim: str) -> None:
        self.answer(server, **{claim: "https://staging.example.com"})
        assert outcome(guard, server.credentials()) is AccessTokenInvalid

    def test_a_key_that_the_guard_does_not_know_is_not_asked_about(self, server: FeedServer, guard: Guard) -> None:
        """It may have permissions, which the service's answer does not tell."""
        self.answer(server)
        unknown = make_api_key(ApiKeyKind.SECRET, b"u" * RANDOM_BYTES)
        assert outcome(guard, Credentials(unknown, server.credentials().authorization)) is StorageUnavailable
        assert server.count(INFO) == 0

    @pytest.mark.parametrize("kind", [AccessTokenRevoked, AccessTokenExpired, ApiKeyRevoked])
    def test_refusals_pass_on(self, server: FeedServer, guard: Guard, kind: type[KeybearerError]) -> None:
        self.refuse(server, 403 if kind is ApiKeyRevoked else 401, kind.code)
        with pytest.raises(kind, match=r"It is so\."):
            guard.verify(server.credentials())

    def test_a_detail_that_no_header_can_hold_is_left_out(self, server: FeedServer, guard: Guard) -> None:
        self.refuse(server, 401, "access_token_expired", 'x"\r\nSet-Cookie: a')
        with pytest.raises(AccessTokenExpired, match=r"The access token has expired\."):
            guard.verify(server.credentials())

    @pytest.mark.parametrize(
        ("status", "code"),
        [(429, "too_many_attempts"), (500, "internal_error"), (503, "overloaded"), (403, "permission_denied"),
         (401, "invalid_credentials"), (401, "of_a_newer_service"), (302, ""), (404, "not_found")],
    )  # fmt: skip
    def test_what_is_no_word_about_credentials(self, server: FeedServer, guard: Guard, status: int, code: str) -> None:
        self.refuse(server, status, code)
        assert outcome(guard, server.credentials()) is StorageUnavailable

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"data":{}}', b"x" * 100_000])
    def test_malformed_answers(self, server: FeedServer, guard: Guard, body: bytes) -> None:
        server.token_info = lambda: body
        assert outcome(guard, server.credentials()) is StorageUnavailable
        self.answer(server, ver="1")
        assert outcome(guard, server.credentials()) is StorageUnavailable

    def test_what_no_credential_can_be_is_not_sent(self, server: FeedServer, guard: Guard) -> None:
        good = server.credentials()
        cases = {
            Credentials(None, good.authorization): ApiKeyMissing,
            Credentials("kbp_\r\nX: y", good.authorization): ApiKeyInvalid,
            Credentials(KEY, "Bearer a\r\nX: y"): AccessTokenCorrupted,
            Credentials(KEY, "Bearer " + "a" * 8193): AccessTokenCorrupted,
            Credentials(KEY, "Basic x"): AccessTokenMissing,
        }
        assert [outcome(guard, credentials) for credentials in cases] == list(cases.values())
        assert server.count(INFO) == 0

    def test_optional(self, server: FeedServer, guard: Guard) -> None:
        self.refuse(server, 401, "access_token_missing")
        assert guard.verify(Credentials(KEY, None), Requirements(optional=True)) is None
        assert outcome(guard, Credentials(KEY, None)) is AccessTokenMissing

    def test_so_many_at_once_and_no_more(self, server: FeedServer) -> None:
        release = threading.Event()

        def hang() -> bytes:
            release.wait(5)
            return b"{}"

        server.token_info = hang
        server.lag = 100
        limits = replace(LIMITS, introspections=2, introspection_seconds=5)
        with started(server.guard(on_stale="introspect", limits=limits)) as guard:
            asking = [threading.Thread(target=outcome, args=(guard, server.credentials(n))) for n in range(2)]
            for thread in asking:
                thread.start()
            eventually(lambda: server.count(INFO) == 2)
            assert outcome(guard, server.credentials()) is Overloaded
            release.set()
            for thread in asking:
                thread.join()

    async def test_the_event_loop_goes_on_meanwhile(self, server: FeedServer) -> None:
        answered = threading.Event()

        def hang() -> bytes:
            answered.wait(5)
            return b"{}"

        server.token_info = hang
        server.lag = 100
        guard = server.guard(on_stale="introspect", limits=replace(LIMITS, introspection_seconds=5))
        await asyncio.to_thread(guard.start)
        asking = asyncio.create_task(guard.verify_async(server.credentials()))
        async with asyncio.timeout(10):
            while server.count(INFO) == 0:
                await asyncio.sleep(0.005)
        answered.set()
        with pytest.raises(StorageUnavailable):
            await asking
        await asyncio.to_thread(guard.close)


def replace_origin(credentials: Credentials, origin: str) -> Credentials:
    return Credentials(credentials.api_key, credentials.authorization, origin)


async def test_what_turns_stale_meanwhile_does_not_block_the_event_loop(
    server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state grows old between two looks at it: whoever has found it fresh decides by it."""
    guard = server.guard(on_stale="introspect")
    await asyncio.to_thread(guard.start)
    try:
        looks = iter([False])
        monkeypatch.setattr(guard._check, "is_stale", lambda _: next(looks, True))
        assert await guard.verify_async(server.credentials()) is not None
        assert guard.metrics.introspected == 0
    finally:
        await asyncio.to_thread(guard.close)
