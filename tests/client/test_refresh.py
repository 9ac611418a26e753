"""What a refresh can meet, and what becomes of the session: only a refusal ends it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from keybearer.client import (
    ApiKeyRejected,
    Client,
    ClientError,
    ConfigurationError,
    MemoryStore,
    RefreshUnavailable,
    ServiceUnavailable,
    SessionExpired,
)
from keybearer.client._record import dump, parse
from keybearer.client._service import MAX_RETRY_AFTER, parse_retry_after
from tests.client.acting import (
    LOGIN,
    REFRESH,
    change,
    error_document,
    forget_failures,
    make_client,
    record_of,
    refreshes,
    session_of,
    signed_in,
    spoil,
)
from tests.stage.client import Stage
from tests.stage.faults import Answer, AnyAction, DropAfter, DropBefore, GateAfter, Hang, Redirect, Truncate


def session_document(**members: Any) -> dict[str, Any]:
    attributes = {
        "accessToken": "a.b.c",
        "refreshToken": "kbr_x",
        "tokenType": "Bearer",
        "expiresIn": 900,
        "refreshExpiresIn": 9000,
        "sessionId": "s",
        "email": "a@b.example",
        "firstName": "A",
        "lastName": "B",
    }
    return {"data": {"id": "u", "type": "session", "attributes": {**attributes, **members}}}


def without(name: str) -> dict[str, Any]:
    document = session_document()
    del document["data"]["attributes"][name]
    return document


UNTRIED: dict[str, AnyAction] = {
    "dropped before": DropBefore(),
    "dropped after": DropAfter(),
    "truncated": Truncate(),
    **{str(status): Answer(status, body="sorry") for status in (408, 425, 429, 500, 502, 503, 504)},
    "overloaded": Answer(503, body=error_document(503, "overloaded")),
    "html": Answer(200, {"Content-Type": "text/html"}, "<html>Welcome to the hotel</html>"),
    "nothing": Answer(200),
    "no json": Answer(200, body='{"data": '),
    "no document": Answer(200, body="[1]"),
    "204": Answer(204),
    "201": Answer(201, body=session_document()),
    "redirect": Redirect("/v1/api/oauth/token/info", 307),
    "permanent redirect": Redirect("/elsewhere", 301),
    "no refresh token": Answer(200, body=without("refreshToken")),
    "no access token": Answer(200, body=without("accessToken")),
    "an empty token": Answer(200, body=session_document(refreshToken="")),
    "a line break": Answer(200, body=session_document(accessToken="a.b.c\nX-Evil: 1")),
    "no ASCII": Answer(200, body=session_document(refreshToken="kbr_é")),
    "a NUL": Answer(200, body=session_document(accessToken="a\0b")),
    "an endless token": Answer(200, body=session_document(accessToken="a" * 9000)),
    "a long document": Answer(200, body=session_document(firstName="x" * 40_000)),
    "no lifetime": Answer(200, body=session_document(expiresIn=0)),
    "a lifetime of text": Answer(200, body=session_document(expiresIn="900")),
    "an endless lifetime": Answer(200, body=session_document(expiresIn=2**60)),
    "a repeated member": Answer(200, body=json.dumps(session_document()).replace('"id"', '"id": "v", "id"')),
}


@pytest.mark.parametrize("fault", UNTRIED.values(), ids=UNTRIED)
def test_nobody_knows_so_the_session_is_kept(stage: Stage, client: Client, fault: AnyAction) -> None:
    session, stored = session_of(client), client._core.vault._store
    stage.add_fault("auth", fault, path=REFRESH)
    with pytest.raises(RefreshUnavailable) as caught:
        client.refresh()
    assert 0 < caught.value.retry_after <= 60
    assert refreshes(stage) == 2, "one more try at once"
    first, second = stage.journal("auth", path=REFRESH)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    assert session_of(client) == session
    kept = parse(stored.read() or "")
    assert kept.session == session
    assert kept.idempotency_key == first.headers["idempotency-key"]
    stage.clear_faults()
    forget_failures(client)
    client.refresh()
    assert stage.journal("auth", path=REFRESH)[-1].headers["idempotency-key"] == kept.idempotency_key
    assert record_of(client).idempotency_key is None
    client.profile()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "malformed_json"),
        (403, "application_disabled"),
        (403, "origin_not_allowed"),
        (404, "not_found"),
        (404, None),
        (405, "method_not_allowed"),
        (413, "body_too_large"),
        (415, "unsupported_media_type"),
        (422, "validation_failed"),
        (418, None),
    ],
)
def test_what_is_wrong_with_the_program_is_told(stage: Stage, client: Client, status: int, code: str | None) -> None:
    session = session_of(client)
    stage.add_fault("auth", Answer(status, body=error_document(status, code) if code else "?"), path=REFRESH)
    with pytest.raises(ConfigurationError):
        client.refresh()
    assert session_of(client) == session
    assert refreshes(stage) == 1


@pytest.mark.parametrize("code", ["api_key_missing", "api_key_invalid", "api_key_revoked", "api_key_expired"])
def test_a_rejected_key_is_told(stage: Stage, client: Client, code: str) -> None:
    session = session_of(client)
    stage.add_fault("auth", Answer(403, body=error_document(403, code)), path=REFRESH)
    with pytest.raises(ApiKeyRejected) as caught:
        client.refresh()
    assert caught.value.reason == code
    assert session_of(client) == session


def test_a_refusal_ends_the_session(stage: Stage, client: Client) -> None:
    stage.add_fault("auth", Answer(401, body=error_document(401, "refresh_token_expired")), path=REFRESH)
    with pytest.raises(SessionExpired) as caught:
        client.refresh()
    assert caught.value.reason == "refresh_token_expired"
    assert refreshes(stage) == 1
    for operation in (client.refresh, client.profile, client.access_token, client.sessions):
        with pytest.raises(SessionExpired):
            operation()
    assert refreshes(stage) == 1


def test_newer_tokens_go_before_a_refusal(stage: Stage, client: Client) -> None:
    """Another process has refreshed, and this one's tokens are refused: it takes those."""
    other = make_client(stage, store=client._options[3])
    other.refresh()
    session = session_of(other)
    stage.add_fault("auth", Answer(401), path=REFRESH)
    spoiled = replace(session_of(client), access_token="a.b.c")
    client._core.vault.record = replace(record_of(client), session=spoiled)
    client.profile()
    assert session_of(client) == session
    assert refreshes(stage) == 1


def test_tokens_that_are_stored_during_a_refresh_go_before_its_refusal(stage: Stage, client: Client) -> None:
    """As of a process that had waited for the lock too long."""
    store = client._core.vault._store
    good = session_of(client)
    change(client, refresh_token="kbr_none")
    stage.add_fault("auth", GateAfter("refused"), path=REFRESH, times=1)
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(client.refresh)
        stage.wait_at_gate("refused")
        text = store.read() or ""
        assert store.replace(text, dump(replace(parse(text), revision=7, idempotency_key=None, session=good)))
        stage.open_gate("refused")
        refreshed.result(60)
    assert stage.journal("auth", path=REFRESH)[0].status == 401
    assert session_of(client) == good


def test_an_answer_that_was_lost_costs_nothing(stage: Stage) -> None:
    """Even after the retry window, and after the program has started anew: the key was stored before."""
    store = MemoryStore()
    client = signed_in(stage, store=store)
    stage.add_fault("auth", DropAfter(), path=REFRESH)
    with pytest.raises(RefreshUnavailable):
        client.refresh()
    stage.clear_faults()
    again = make_client(stage, store=store)
    again.refresh()
    again.profile()
    keys = {entry.headers["idempotency-key"] for entry in stage.journal("auth", path=REFRESH)}
    assert len(keys) == 1


def test_the_key_stays_for_as_long_as_the_token_does(stage: Stage, client: Client) -> None:
    """The service repeats a young token. Were the key dropped with that answer, an older request with it that is still
    on its way could move the chain, and the next refresh would present an old token with a key that is not known."""
    client.refresh()
    assert record_of(client).idempotency_key is None
    token = session_of(client).refresh_token
    client.refresh()
    client.refresh()
    assert session_of(client).refresh_token == token
    first, *repeats = [entry.headers["idempotency-key"] for entry in stage.journal("auth", path=REFRESH)]
    assert repeats == [record_of(client).idempotency_key] * 2
    assert first not in repeats


# --- how often -------------------------------------------------------------------------------------------------------


class Clock:
    """The steady clock of a client, set by hand."""

    def __init__(self, client: Client) -> None:
        self.now = 1000.0
        cooldown = client._core.refresher._cooldown
        cooldown._surroundings = replace(cooldown._surroundings, steady=lambda: self.now)


def outcome(call: Callable[[], object]) -> ClientError | None:
    try:
        call()
    except ClientError as error:
        return error
    return None


def test_a_dead_server_is_asked_seldom(stage: Stage, client: Client) -> None:
    """100 calls in 10 s: at most 5 refreshes."""
    clock = Clock(client)
    stage.stop_service()
    try:
        for _ in range(100):
            assert isinstance(outcome(client.refresh), RefreshUnavailable)
            clock.now += 0.1
        assert 4 <= refreshes(stage) <= 5
        pauses = []
        for _ in range(8):
            error = outcome(client.refresh)
            assert isinstance(error, RefreshUnavailable)
            pauses.append(error.retry_after)
            clock.now += error.retry_after
        assert max(pauses) == pauses[-1] == 60
    finally:
        stage.start_service()
    client.refresh()
    stage.stop_service()
    try:
        before = refreshes(stage)
        error = outcome(client.refresh)
        assert isinstance(error, RefreshUnavailable)
        assert 1 <= error.retry_after <= 1.5
        assert refreshes(stage) == before + 2
    finally:
        stage.start_service()


@pytest.mark.parametrize("status", [429, 503])
def test_patience_that_is_asked_for_is_had(stage: Stage, client: Client, status: int) -> None:
    clock = Clock(client)
    stage.add_fault("auth", Answer(status, {"Retry-After": "90"}), path=REFRESH)
    error = outcome(client.refresh)
    assert isinstance(error, RefreshUnavailable)
    assert error.retry_after == 90
    assert refreshes(stage) == 1
    clock.now += 89
    assert isinstance(outcome(client.refresh), RefreshUnavailable)
    assert refreshes(stage) == 1
    stage.clear_faults()
    clock.now += 2
    client.refresh()


def test_a_rejected_key_is_not_tried_again_at_once(stage: Stage, client: Client) -> None:
    clock = Clock(client)
    stage.add_fault("auth", Answer(403, body=error_document(403, "api_key_revoked")), path=REFRESH)
    for _ in range(5):
        assert isinstance(outcome(client.refresh), ApiKeyRejected)
    assert refreshes(stage) == 1
    clock.now += 2
    assert isinstance(outcome(client.refresh), ApiKeyRejected)
    assert refreshes(stage) == 2


def test_tokens_of_another_process_end_the_waiting(stage: Stage, client: Client) -> None:
    stage.add_fault("auth", DropBefore(), path=REFRESH)
    assert isinstance(outcome(client.refresh), RefreshUnavailable)
    stage.clear_faults()
    make_client(stage, store=client._options[3]).refresh()
    spoiled = replace(session_of(client), access_token="a.b.c")
    client._core.vault.record = replace(record_of(client), session=spoiled)
    client.profile()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("999999999", MAX_RETRY_AFTER),
        ("9" * 5000, None),
        ("١", None),
        (formatdate(1030, usegmt=True), 30),
        (formatdate(900, usegmt=True), 0),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, 1000) == seconds


# --- operations ------------------------------------------------------------------------------------------------------


def test_an_answer_to_a_login_that_is_none(stage: Stage) -> None:
    client = make_client(stage)
    for name in ("html", "no refresh token", "a line break", "503", "dropped before", "redirect", "truncated"):
        stage.add_fault("auth", UNTRIED[name], path=LOGIN, times=1)
        with pytest.raises(ServiceUnavailable):
            client.login("user@example.com", "password")
    stage.add_fault("auth", Answer(404, body="?"), path=LOGIN)
    with pytest.raises(ConfigurationError):
        client.login("user@example.com", "password")
    assert not client.signed_in


def test_a_failed_login_keeps_the_session_before(stage: Stage, client: Client) -> None:
    session = session_of(client)
    stage.add_fault("auth", Answer(503), path=LOGIN)
    with pytest.raises(ServiceUnavailable):
        client.login(stage.users[1].username, stage.users[1].password)
    assert session_of(client) == session


def test_an_operation_refreshes_and_retries(stage: Stage, client: Client) -> None:
    spoil(client)
    assert client.profile().id == stage.users[0].id
    assert refreshes(stage) == 1
    info = [entry.status for entry in stage.journal("auth", path="/v1/api/users/me")]
    assert info == [401, 200]


def test_a_hanging_service_is_left(stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keybearer.client._service.TIMEOUT", 0.3)
    stage.add_fault("auth", Hang(), path=REFRESH)
    with pytest.raises(RefreshUnavailable):
        client.refresh()
    assert client.signed_in
