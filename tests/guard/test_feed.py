"""The follower against a service that fails in every way (clients.md G3, G3a)."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from keybearer.errors import (
    AccessTokenRevoked,
    AccessTokenWrongApplication,
    ApiKeyInvalid,
    ApiKeyRevoked,
    ApplicationDisabled,
    KeybearerError,
    StorageUnavailable,
)
from keybearer.guard import Credentials, Guard, GuardKeyRefused, Limits, ServiceUnreachable, WrongService
from tests.guard.feed_server import (
    APPLICATION,
    GUARD_KEY,
    KEY,
    LIMITS,
    OTHER_KEY,
    FeedServer,
    eventually,
    guard_threads,
    key_entry,
    session_entry,
    session_id,
    started,
)

FOREVER = 253_402_300_799_999


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as server:
        yield server


@pytest.fixture
def guard(server: FeedServer) -> Iterator[Guard]:
    with started(server.guard()) as guard:
        eventually(lambda: server.streams)
        yield guard


def outcome(guard: Guard, credentials: Credentials) -> type[KeybearerError] | None:
    try:
        guard.verify(credentials)
    except KeybearerError as error:
        return type(error)
    return None


def is_revoked(guard: Guard, server: FeedServer, session: int) -> bool:
    return outcome(guard, server.credentials(session)) is AccessTokenRevoked


class TestFollowing:
    def test_a_revocation_arrives_for_remembered_tokens_too(self, server: FeedServer, guard: Guard) -> None:
        credentials = server.credentials(1)
        assert outcome(guard, credentials) is None
        server.revoke(1)
        eventually(lambda: outcome(guard, credentials) is AccessTokenRevoked)
        assert outcome(guard, server.credentials(2)) is None

    def test_a_user_is_held_to_the_version(self, server: FeedServer, guard: Guard) -> None:
        old, new = server.credentials(ver=3), server.credentials(ver=4)
        assert outcome(guard, old) is outcome(guard, new) is None
        server.publish({"kind": "user", "id": "00000000-0000-7000-8000-00000000000a", "ver": 4, "expiresAt": FOREVER})
        eventually(lambda: outcome(guard, old) is AccessTokenRevoked)
        assert outcome(guard, new) is None
        server.publish({"kind": "user", "id": "00000000-0000-7000-8000-00000000000a", "ver": 2, "expiresAt": FOREVER})
        server.revoke(99)
        eventually(lambda: is_revoked(guard, server, 99))
        assert outcome(guard, old) is AccessTokenRevoked

    def test_keys_and_applications(self, server: FeedServer, guard: Guard) -> None:
        credentials = server.credentials()
        assert outcome(guard, Credentials(OTHER_KEY, credentials.authorization)) is AccessTokenWrongApplication
        server.publish(key_entry(KEY, APPLICATION, state="revoked"))
        eventually(lambda: outcome(guard, credentials) is ApiKeyRevoked)
        server.publish(key_entry(KEY, APPLICATION))
        eventually(lambda: outcome(guard, credentials) is None)
        server.publish({"kind": "application", "id": APPLICATION, "state": "disabled", "origins": []})
        eventually(lambda: outcome(guard, credentials) is ApplicationDisabled)
        server.publish({"kind": "application", "id": APPLICATION, "state": "enabled", "origins": []})
        server.publish(key_entry(KEY, APPLICATION, hasPermissions=True))
        eventually(lambda: outcome(guard, credentials) is ApiKeyInvalid)

    def test_an_entry_without_a_position_has_the_state_taken_anew(self, server: FeedServer, guard: Guard) -> None:
        entry = json.dumps(key_entry(KEY, APPLICATION, state="revoked"))
        server.send(f"event: entry\ndata: {entry}\n\n".encode())
        eventually(lambda: server.count("/v1/api/feed/snapshot") > 1)
        eventually(lambda: outcome(guard, server.credentials(1)) is None)

    def test_repeated_and_disordered_entries_do_no_harm(self, server: FeedServer, guard: Guard) -> None:
        events = [
            server.entry(key_entry(KEY, APPLICATION, state="active"), 11),
            server.entry(session_entry(1, FOREVER), 12),
            server.entry(key_entry(OTHER_KEY, APPLICATION, state="revoked"), 13),
            server.entry(session_entry(2, FOREVER), 14),
        ]
        for event in [*events, *reversed(events), *events[::2], *events]:
            server.send(event)
        server.send(server.entry(key_entry(OTHER_KEY, APPLICATION, state="active"), 12))
        server.position = 14
        server.revoke(3)
        eventually(lambda: is_revoked(guard, server, 3))
        assert is_revoked(guard, server, 1) and is_revoked(guard, server, 2)
        assert outcome(guard, Credentials(OTHER_KEY, server.credentials(7).authorization)) is ApiKeyRevoked
        assert outcome(guard, server.credentials(7)) is None

    def test_entries_expire_by_themselves(self, server: FeedServer, guard: Guard) -> None:
        server.publish(session_entry(1, server.now() + 1100))
        eventually(lambda: is_revoked(guard, server, 1))
        eventually(lambda: outcome(guard, server.credentials(1)) is None)
        assert not guard._knowledge.state.revocations

    def test_unknown_kinds_are_counted_and_harmless(self, server: FeedServer, guard: Guard) -> None:
        server.publish({"kind": "tenant", "id": 7, "more": [{}]})
        server.send(b"event: weather\ndata: rain\n\n: a comment\n\nnonsense\n\n")
        server.publish(session_entry(1, FOREVER) | {"more": {"from": "a newer service"}})
        eventually(lambda: is_revoked(guard, server, 1))
        assert guard.metrics.unknown_kinds == 2 and guard.metrics.snapshots == 1

    def test_the_guards_key_goes_along_and_to_the_keys_it_does_not(self, server: FeedServer, guard: Guard) -> None:
        sent = dict(server.asked)
        assert sent["/v1/api/feed"]["api-key"] == sent["/v1/api/feed/snapshot"]["api-key"] == GUARD_KEY
        assert "api-key" not in sent["/.well-known/jwks.json"]


class TestResuming:
    def test_a_cut_leaves_no_gap(self, server: FeedServer, guard: Guard) -> None:
        for session in range(1, 6):
            eventually(lambda: server.streams)
            server.cut()
            server.revoke(session)
            eventually(partial(is_revoked, guard, server, session))
        assert guard.metrics.snapshots == 1 and guard.metrics.reconnects >= 5
        assert dict(server.asked)["/v1/api/feed"]["last-event-id"].startswith("e1:")

    def test_another_epoch_is_taken_anew(self, server: FeedServer, guard: Guard) -> None:
        server.revoke(1)
        eventually(lambda: is_revoked(guard, server, 1))
        server.epoch, server.position = "e2", 3
        server.log.clear()
        server.sessions[:] = [session_entry(2, FOREVER)]
        server.cut()
        eventually(lambda: is_revoked(guard, server, 2))
        assert not is_revoked(guard, server, 1)
        assert guard.metrics.snapshots == 2
        server.revoke(3)
        eventually(lambda: is_revoked(guard, server, 3))

    def test_another_epoch_within_a_stream_is_taken_anew(self, server: FeedServer, guard: Guard) -> None:
        server.epoch = "e2"
        server.sessions[:] = [session_entry(2, FOREVER)]
        eventually(lambda: is_revoked(guard, server, 2))

    def test_a_reset_is_taken_anew(self, server: FeedServer, guard: Guard) -> None:
        server.sessions[:] = [session_entry(2, FOREVER)]
        server.send(b"event: reset\ndata: {}\n\n")
        eventually(lambda: is_revoked(guard, server, 2))
        assert guard.metrics.snapshots == 2

    @pytest.mark.parametrize(
        "garbage",
        [
            b"event: entry\ndata: {\n\n",
            b'event: entry\ndata: {"kind":"session","id":7}\n\n',
            b'event: entry\ndata: {"kind":"session","id":"x","expiresAt":-1}\n\n',
            b"event: entry\ndata: " + json.dumps(key_entry(KEY, APPLICATION, hash="!")).encode() + b"\n\n",
            b"event: heartbeat\ndata: []\n\n",
            b"event: entry\ndata: \xff\n\n",
            b"data: " + b"x" * (2**20 + 10),
            b"event: entry\ndata: " + b"[" * 100_000 + b"\n\n",
        ],
    )
    def test_garbage_in_the_stream_ends_it_and_nothing_else(
        self, server: FeedServer, guard: Guard, garbage: bytes
    ) -> None:
        server.send(garbage)
        eventually(lambda: guard.metrics.reconnects)
        server.revoke(1)
        eventually(lambda: is_revoked(guard, server, 1))
        assert outcome(guard, server.credentials(2)) is None

    def test_a_silent_stream_is_given_up(self, server: FeedServer) -> None:
        with started(server.guard(limits=replace(LIMITS, stream_silence=0.3))) as guard:
            server.heartbeats = False
            eventually(lambda: server.count("/v1/api/feed") > 1)
            assert outcome(guard, server.credentials()) is None

    def test_a_stream_is_opened_anew_after_its_lifetime(self, server: FeedServer) -> None:
        with started(server.guard(limits=replace(LIMITS, stream_lifetime=0.2))) as guard:
            eventually(lambda: server.count("/v1/api/feed") > 2)
            assert guard.metrics.reconnects == 0

    def test_a_service_that_comes_back_is_followed_again(self, server: FeedServer, guard: Guard) -> None:
        server.status = {"/v1/api/feed": 503}
        server.cut()
        eventually(lambda: server.count("/v1/api/feed") > 2)
        server.revoke(1)
        server.status = {}
        eventually(lambda: is_revoked(guard, server, 1))


class TestSnapshots:
    @pytest.fixture
    def refused(self, server: FeedServer, guard: Guard, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        """What the test makes of the snapshot is refused: the old state is kept, counted and logged."""
        server.revoke(1)
        eventually(lambda: is_revoked(guard, server, 1))
        with caplog.at_level(logging.INFO, "keybearer.guard"):
            yield
            server.send(b"event: reset\ndata: {}\n\n")
            eventually(lambda: guard.metrics.snapshots_refused >= 2)
            assert is_revoked(guard, server, 1)
            assert outcome(guard, server.credentials(2)) is None
            server.snapshot = lambda: json.dumps(server.snapshot_document()).encode()
            server.status = {}
            server.sessions.append(session_entry(3, FOREVER))
            eventually(lambda: is_revoked(guard, server, 3))
        assert any(record.levelno == logging.ERROR for record in caplog.records)
        assert GUARD_KEY not in caplog.text

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"<html>",
            b"null",
            b"[]",
            b"{}",
            b'{"epoch":"e"}',
            b"\xff\xfe",
            b"[" * 200_000,
            b'{"epoch":' + b"1" * 10_000 + b"}",
            b'{"unknown":"' + b"x" * (2**20 + 100) + b'"}',
        ],
    )
    @pytest.mark.usefixtures("refused")
    def test_not_a_snapshot(self, server: FeedServer, text: bytes) -> None:
        server.snapshot = lambda: text

    @pytest.mark.usefixtures("refused")
    def test_truncated(self, server: FeedServer) -> None:
        server.snapshot = lambda: json.dumps(server.snapshot_document()).encode()[:-30]

    @pytest.mark.usefixtures("refused")
    def test_followed_by_something(self, server: FeedServer) -> None:
        server.snapshot = lambda: json.dumps(server.snapshot_document()).encode() + b"{}"

    @pytest.mark.parametrize("name", ["epoch", "position", "asOf", "now", "issuer", "keySetVersion", "keys", "users"])
    @pytest.mark.parametrize("value", [None, -1, 1.5, True, [7], {}, "", 10**30])
    @pytest.mark.usefixtures("refused")
    def test_wrong_types(self, server: FeedServer, name: str, value: Any) -> None:
        if value == {} and name == "keys":
            value = "text"
        server.snapshot = lambda: json.dumps(server.snapshot_document(**{name: value})).encode()

    @pytest.mark.parametrize(
        "element",
        [
            {"id": 7, "expiresAt": 1},
            {"id": "", "expiresAt": 1},
            {"id": "x"},
            {"id": "x", "expiresAt": "1"},
            {"id": "x", "expiresAt": True},
            {"id": "x", "expiresAt": 1e3},
            [],
            None,
        ],
    )
    @pytest.mark.usefixtures("refused")
    def test_wrong_sessions(self, server: FeedServer, element: Any) -> None:
        server.snapshot = lambda: json.dumps(server.snapshot_document(sessions=[element])).encode()

    @pytest.mark.usefixtures("refused")
    def test_another_issuers(self, server: FeedServer) -> None:
        server.snapshot = lambda: json.dumps(server.snapshot_document(issuer="https://evil.example")).encode()

    @pytest.mark.usefixtures("refused")
    def test_too_large(self, server: FeedServer) -> None:
        """A hundred megabytes, of which no more than the limit is read."""

        def parts() -> Iterator[bytes]:
            head = json.dumps(server.snapshot_document(users=[])).encode()
            yield head.removesuffix(b"]}")
            element = json.dumps({"id": session_id(1), "ver": 0, "expiresAt": FOREVER}).encode() + b","
            for _ in range(100):
                yield element * (2**20 // len(element))

        server.snapshot = parts

    @pytest.mark.parametrize("status", [204, 302, 404, 405])
    @pytest.mark.usefixtures("refused")
    def test_of_another_status(self, server: FeedServer, status: int) -> None:
        server.status = {"/v1/api/feed/snapshot": status}
        server.headers = {"Location": f"{server.url}/elsewhere"}

    def test_a_redirect_is_never_followed(self, server: FeedServer) -> None:
        server.status = {"/v1/api/feed/snapshot": 307}
        server.headers = {"Location": f"{server.url}/elsewhere"}
        with pytest.raises(WrongService):
            server.guard().start(5)
        assert server.count("/elsewhere") == 0

    def test_older_than_what_is_known(self, server: FeedServer, guard: Guard) -> None:
        """A replica that lags behind: what it does not know yet is not forgotten here."""
        server.revoke(1)
        eventually(lambda: is_revoked(guard, server, 1))
        server.snapshot = lambda: json.dumps(server.snapshot_document(sessions=[], asOf=server.now() - 5000)).encode()
        server.send(b"event: reset\ndata: {}\n\n")
        eventually(lambda: server.count("/v1/api/feed/snapshot") > 3)
        assert is_revoked(guard, server, 1)

    def test_any_order_spaces_and_unknown_members(self, server: FeedServer) -> None:
        server.sessions[:] = [session_entry(1, FOREVER)]

        def document() -> bytes:
            members = {"new": [{"a": [1, 2]}, 7, "x"], **server.snapshot_document(), "newer": {"b": None}, "n": 5}
            return json.dumps(dict(reversed(members.items())), indent=3).encode()

        server.snapshot = document
        with started(server.guard()) as guard:
            assert is_revoked(guard, server, 1)
            assert outcome(guard, server.credentials(2)) is None

    def test_in_pieces_of_any_size(self, server: FeedServer) -> None:
        server.issuer = "https://aüth.example"
        server.sessions[:] = [session_entry(number, FOREVER) for number in range(30)]

        def pieces() -> Iterator[bytes]:
            text = json.dumps(server.snapshot_document(), ensure_ascii=False).encode()
            for at in range(0, len(text), 7):
                yield text[at : at + 7]

        server.snapshot = pieces
        with started(server.guard()) as guard:
            assert all(is_revoked(guard, server, number) for number in range(30))


class TestStarting:
    @pytest.mark.parametrize(
        ("status", "code", "told"),
        [
            (403, "api_key_invalid", "does not know"),
            (403, "api_key_revoked", "was revoked"),
            (403, "api_key_expired", "has expired"),
            (403, "permission_denied", "does not have the permission"),
            (403, "application_disabled", "is disabled"),
            (403, "origin_not_allowed", "refuses the guard's Api-Key"),
        ],
    )
    def test_a_key_that_is_refused(self, server: FeedServer, status: int, code: str, told: str) -> None:
        server.status = {"/v1/api/feed/snapshot": status}
        problem = {"status": str(status), "code": code, "title": "t", "detail": "d"}
        server.snapshot = lambda: json.dumps({"errors": [problem]}).encode()
        guard = server.guard()
        with pytest.raises(GuardKeyRefused, match=told) as raised:
            guard.start(5)
        assert GUARD_KEY not in str(raised.value)
        assert not guard_threads()
        assert outcome(guard, server.credentials()) is StorageUnavailable

    def test_a_key_that_is_refused_later(self, server: FeedServer, guard: Guard) -> None:
        """What is known goes on until it is too old; the service is asked again, and once it admits the key, all is
        well."""
        server.status = {"/v1/api/feed": 403}
        server.cut()
        eventually(lambda: server.count("/v1/api/feed") > 3)
        assert outcome(guard, server.credentials()) is None
        server.status = {}
        server.revoke(1)
        eventually(lambda: is_revoked(guard, server, 1))

    def test_nobody_there(self, server: FeedServer) -> None:
        guard = Guard("http://127.0.0.1:1", GUARD_KEY, limits=LIMITS)
        with pytest.raises(ServiceUnreachable, match=r"cannot be followed|no usable key set"):
            guard.start(0.3)
        assert not guard_threads()

    def test_a_service_that_hangs(self, server: FeedServer) -> None:
        def snapshot() -> bytes:
            time.sleep(1.5)
            return b"{}"

        server.snapshot = snapshot
        guard = server.guard()
        with pytest.raises(ServiceUnreachable):
            guard.start(0.3)
        assert not guard_threads()

    def test_a_service_that_comes_up_later(self, server: FeedServer) -> None:
        answers = iter([503, 503, 503, 200])

        def snapshot() -> bytes:
            server.status = {"/v1/api/feed/snapshot": next(answers, 200)}
            return json.dumps(server.snapshot_document()).encode()

        server.status = {"/v1/api/feed/snapshot": 503}
        server.snapshot = snapshot
        with started(server.guard()) as guard:
            assert outcome(guard, server.credentials()) is None

    def test_the_first_request_starts_it(self, server: FeedServer) -> None:
        guard = server.guard()
        assert outcome(guard, server.credentials()) is None
        assert len(guard_threads()) == 2
        guard.close()
        assert not guard_threads()

    async def test_the_first_asynchronous_request_starts_it(self, server: FeedServer) -> None:
        guard = server.guard()
        assert await guard.verify_async(server.credentials()) is not None
        guard.close()

    def test_closing_twice_and_starting_again(self, server: FeedServer) -> None:
        guard = server.guard()
        guard.close()
        for _ in range(3):
            with started(guard):
                assert outcome(guard, server.credentials()) is None
            guard.close()
        server.revoke(1)
        with started(guard):
            eventually(lambda: is_revoked(guard, server, 1))

    def test_a_closed_guard_is_not_started_by_requests(self, server: FeedServer) -> None:
        guard = server.guard()
        with started(guard):
            pass
        assert outcome(guard, server.credentials()) is None
        assert not guard_threads()

    def test_closing_does_not_wait_for_an_answer(self, server: FeedServer) -> None:
        limits = Limits(answer_timeout=1000, stream_silence=1000)
        server.heartbeats = False
        guard = server.guard(limits=limits)
        with started(guard):
            eventually(lambda: server.streams)

    def test_a_guard_that_is_forgotten_leaves_no_threads(self, server: FeedServer) -> None:
        guard = server.guard()
        guard.start()
        assert len(guard_threads()) == 2
        del guard
        eventually(lambda: not guard_threads())
