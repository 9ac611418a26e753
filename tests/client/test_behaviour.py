"""What every transport does with the requests of a user: one suite for all of them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from keybearer.client import (
    ApiKeyRejected,
    Client,
    ConfigurationError,
    NotLoggedIn,
    RefreshUnavailable,
    SessionExpired,
)
from tests.client.acting import (
    LOGIN,
    REFRESH,
    error_document,
    forget_failures,
    log_in,
    make_client,
    notes,
    record_of,
    refreshes,
    session_of,
    spoil,
)
from tests.client.transports import OPEN, SYNC, Transport, opened
from tests.stage.client import Stage
from tests.stage.faults import Answer, DropBefore, GateAfter

EXPIRED = error_document(401, "access_token_expired")


# --- the rules of the reference document -----------------------------------------------------------------------------


def test_both_headers_are_sent(stage: Stage, client: Client, transport: Transport) -> None:
    got = transport.send("GET", f"{stage.api}/notes")
    assert (got.status, got.hops, got.retried) == (200, (), False)
    (entry,) = stage.journal("api")
    assert entry.headers["api-key"] == stage.publishable_key
    assert entry.headers["authorization"] == f"Bearer {session_of(client).access_token}"


def test_a_refused_token_is_refreshed_and_the_request_retried(
    stage: Stage, client: Client, transport: Transport
) -> None:
    spoil(client)
    got = transport.send("GET", f"{stage.api}/notes")
    assert (got.status, got.hops, got.retried) == (200, (401,), True)
    assert notes(stage) == [401, 200]
    assert refreshes(stage) == 1
    last = stage.journal("api")[-1]
    assert last.headers["authorization"] == f"Bearer {session_of(client).access_token}"
    assert transport.send("GET", f"{stage.api}/notes").status == 200
    assert refreshes(stage) == 1


def test_a_request_is_retried_once_and_no_more(stage: Stage, client: Client, transport: Transport) -> None:
    stage.add_fault("api", Answer(401, body=EXPIRED))
    got = transport.send("GET", f"{stage.api}/notes")
    assert (got.status, got.retried) == (401, True)
    assert "access_token_expired" in got.text
    assert notes(stage) == [401, 401]
    assert refreshes(stage) == 1
    assert client.signed_in


def test_a_refused_refresh_ends_the_session(stage: Stage, client: Client, transport: Transport) -> None:
    session = session_of(client)
    stage.command("sessions", "revoke", session.session_id)
    spoil(client)
    with pytest.raises(SessionExpired) as caught:
        transport.send("GET", f"{stage.api}/notes")
    assert caught.value.reason == "session_revoked"
    assert not client.signed_in
    assert session.refresh_token not in (client._core.vault._store.read() or "")
    assert refreshes(stage) == 1
    assert transport.send("GET", f"{stage.api}/notes").status == 401
    assert "authorization" not in stage.journal("api")[-1].headers
    assert refreshes(stage) == 1
    with pytest.raises(SessionExpired):
        client.profile()


def test_without_a_session_the_key_goes_alone(stage: Stage) -> None:
    client = make_client(stage)
    for name in OPEN:
        with opened(name, client) as transport:
            assert transport.send("GET", f"{stage.api}/notes").status == 401
    for entry in stage.journal("api"):
        assert entry.headers["api-key"] == stage.publishable_key
        assert "authorization" not in entry.headers
    assert refreshes(stage) == 0
    with pytest.raises(NotLoggedIn):
        client.profile()


# --- what is eligible ------------------------------------------------------------------------------------------------


def test_an_authorization_of_the_callers_passes_through(stage: Stage, transport: Transport) -> None:
    got = transport.send("GET", f"{stage.api}/notes", headers={"authorization": "Bearer mine"})
    assert (got.status, got.retried) == (401, False)
    (entry,) = stage.journal("api")
    assert entry.headers["authorization"] == "Bearer mine"
    assert entry.headers["api-key"] == stage.publishable_key
    assert refreshes(stage) == 0


def test_an_api_key_of_the_callers_gives_way(stage: Stage, transport: Transport) -> None:
    assert transport.send("GET", f"{stage.api}/notes", headers={"api-key": "mine"}).status == 200
    assert stage.journal("api")[0].headers["api-key"] == stage.publishable_key


def test_a_login_by_hand_takes_no_token(stage: Stage, transport: Transport) -> None:
    wrong = {"username": stage.users[0].username, "password": "wrong password"}
    got = transport.send("POST", stage.auth + LOGIN, json=wrong)
    assert (got.status, got.retried) == (401, False)
    (entry,) = stage.journal("auth")
    assert entry.headers["api-key"] == stage.publishable_key
    assert "authorization" not in entry.headers


def test_a_refresh_by_hand_takes_no_token(stage: Stage, transport: Transport) -> None:
    got = transport.send("POST", stage.auth + REFRESH, json={"refresh_token": "kbr_none"})
    assert (got.status, got.retried) == (401, False)
    (entry,) = stage.journal("auth")
    assert "authorization" not in entry.headers


def test_other_statuses_are_the_callers(stage: Stage, transport: Transport) -> None:
    for status in (204, 400, 403, 404, 429, 503):
        stage.add_fault("api", Answer(status), times=1)
        assert transport.send("GET", f"{stage.api}/notes").status == status
    assert refreshes(stage) == 0


def test_a_rejected_key_is_no_reason_to_refresh(stage: Stage, client: Client, transport: Transport) -> None:
    stage.add_fault("api", Answer(403, {"Content-Type": "application/json"}, error_document(403, "api_key_revoked")))
    with pytest.raises(ApiKeyRejected) as caught:
        transport.send("GET", f"{stage.api}/notes")
    assert caught.value.reason == "api_key_revoked"
    assert refreshes(stage) == 0
    assert client.signed_in


def test_a_key_that_a_proxy_rejects_is_rejected(stage: Stage, transport: Transport) -> None:
    stage.add_fault("api", Answer(403, {"X-Keybearer-Error": "api_key_expired"}, "no"))
    with pytest.raises(ApiKeyRejected):
        transport.send("GET", f"{stage.api}/notes")


def test_another_403_can_still_be_read(stage: Stage, transport: Transport) -> None:
    for body, kind in (("<p>no</p>", "text/html"), ('{"a": 1}', "application/json"), ("{", "application/json")):
        stage.add_fault("api", Answer(403, {"Content-Type": kind}, body), times=1)
        got = transport.send("GET", f"{stage.api}/notes")
        assert (got.status, got.text) == (403, body)


# --- what can come between -------------------------------------------------------------------------------------------


def meanwhile(stage: Stage, transport: Transport, act: Callable[[], object]) -> int:
    """The status of a request whose 401 arrives after `act`."""
    stage.add_fault("api", GateAfter("late"), times=1)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(lambda: transport.send("GET", f"{stage.api}/notes"))
        stage.wait_at_gate("late")
        act()
        stage.open_gate("late")
        return request.result(60).status


def test_a_late_401_takes_the_tokens_that_are_there(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    assert meanwhile(stage, transport, client.refresh) == 200
    assert refreshes(stage) == 1


def test_a_late_401_after_a_logout_stands(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    assert meanwhile(stage, transport, client.logout) == 401
    assert notes(stage) == [401]
    assert refreshes(stage) == 0


def test_a_request_of_one_user_is_never_sent_as_another(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    assert meanwhile(stage, transport, lambda: log_in(client, stage, 1)) == 401
    assert notes(stage) == [401]
    assert transport.send("GET", f"{stage.api}/notes").status == 200


def test_a_logout_during_a_refresh_wins(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH, times=1)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(lambda: transport.send("GET", f"{stage.api}/notes"))
        stage.wait_at_gate("refresh")
        client.logout()
        stage.open_gate("refresh")
        assert request.result(60).status == 401
    assert not client.signed_in
    assert record_of(client).ended == "logout"
    assert "accessToken" not in (client._core.vault._store.read() or "")


def test_a_login_during_a_refresh_wins(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH, times=1)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(lambda: transport.send("GET", f"{stage.api}/notes"))
        stage.wait_at_gate("refresh")
        log_in(client, stage, 1)
        stage.open_gate("refresh")
        assert request.result(60).status == 401
    user = client.user
    assert user is not None
    assert user.id == stage.users[1].id
    assert client.profile().id == stage.users[1].id


# --- a refresh that cannot be tried ----------------------------------------------------------------------------------


def test_a_refresh_that_cannot_be_tried_keeps_the_session(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    stage.add_fault("auth", DropBefore(), path=REFRESH)
    with pytest.raises(RefreshUnavailable) as caught:
        transport.send("GET", f"{stage.api}/notes")
    assert 0 < caught.value.retry_after <= 60
    assert refreshes(stage) == 2
    with pytest.raises(RefreshUnavailable):
        transport.send("GET", f"{stage.api}/notes")
    assert refreshes(stage) == 2
    assert client.signed_in
    stage.clear_faults()
    forget_failures(client)
    assert transport.send("GET", f"{stage.api}/notes").status == 200


def test_a_misconfigured_refresh_keeps_the_session(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    stage.add_fault("auth", Answer(404, body="no such page"), path=REFRESH)
    with pytest.raises(ConfigurationError):
        transport.send("GET", f"{stage.api}/notes")
    assert client.signed_in


@pytest.mark.parametrize("name", SYNC)
def test_many_requests_share_one_refresh(stage: Stage, client: Client, name: str) -> None:
    spoil(client)
    barrier = threading.Barrier(20)

    def send(transport: Transport) -> int:
        barrier.wait(60)
        return transport.send("GET", f"{stage.api}/notes").status

    with opened(name, client) as transport, ThreadPoolExecutor(20) as pool:
        assert [future.result(60) for future in [pool.submit(send, transport) for _ in range(20)]] == [200] * 20
    assert refreshes(stage) == 1


def test_nothing_that_can_be_printed_holds_a_credential(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    got = transport.send("GET", f"{stage.api}/notes")
    session = session_of(client)
    for secret in (session.access_token, session.refresh_token, stage.publishable_key):
        assert secret not in got.shown
