"""No credential stands where somebody may read it: in what is printed, in logs, in tracebacks with their variables."""

import gc
import logging
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType

import httpx
import httpx2
import pytest
import requests

from keybearer.client import AsyncClient, Client, ClientError, FileStore
from keybearer.errors import KeybearerError
from tests.client.acting import (
    REFRESH,
    change,
    forget_failures,
    make_client,
    session_of,
    signed_in,
    spoil,
)
from tests.client.transports import OPEN, opened
from tests.stage.client import Stage
from tests.stage.faults import Answer, AnyAction, DropAfter, DropBefore, Truncate

PASSWORD = "a password that nobody has"


def secrets_of(stage: Stage, client: Client) -> set[str]:
    session = session_of(client)
    return {stage.publishable_key, session.access_token, session.refresh_token, PASSWORD, stage.users[0].password}


def require_absent(secrets: set[str], text: str) -> None:
    for secret in secrets:
        assert secret not in text, f"…{text[max(0, text.index(secret) - 300) : text.index(secret)]}"


def told_with_variables(call: Callable[[], object]) -> str:
    """The traceback of what `call` raises, as an error reporter takes it: with the variables of every function, but
    those of this file."""
    try:
        call()
    except (KeybearerError, httpx.HTTPError, httpx2.HTTPError, requests.RequestException) as error:
        told = traceback.TracebackException(type(error), error, beyond(error.__traceback__), capture_locals=True)
        return "".join(told.format())
    raise AssertionError("nothing was raised")


def beyond(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parent):
        trace = trace.tb_next
    return trace


def test_what_is_printed(stage: Stage, client: Client, tmp_path: Path) -> None:
    shown = [
        client,
        client.auth,
        client.inspect(),
        client.profile(),
        client.user,
        client._core.known,
        session_of(client),
        client._core.credentials_of(session_of(client)),
        client._core.key_only,
        client._options,
        client._core.vault._store,
        FileStore(tmp_path / "session.json"),
        AsyncClient(stage.base_url, api_key=stage.publishable_key),
        *client.attach(requests.Session()).adapters.values(),
    ]
    require_absent(secrets_of(stage, client), f"{shown!r} {[str(one) for one in shown]}")


@pytest.mark.parametrize("name", OPEN)
def test_what_is_logged(stage: Stage, client: Client, caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = secrets_of(stage, client)
    with opened(name, client) as transport:
        transport.send("GET", f"{stage.api}/notes")
        spoil(client)
        transport.send("POST", f"{stage.api}/notes", json={"text": "milk"})
    client.logout()
    assert caplog.records
    require_absent(secrets, "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records))


FAULTS: dict[str, AnyAction] = {
    "untried": DropBefore(),
    "lost": DropAfter(),
    "half": Truncate(),
    "refused": Answer(401),
    "rejected": Answer(
        403, body='{"errors": [{"status": "403", "code": "api_key_revoked", "title": "t", "detail": "d"}]}'
    ),
    "misconfigured": Answer(404),
    "unreadable": Answer(200, body="<html>"),
}


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_a_failed_request_tells(stage: Stage, client: Client, name: str, fault: AnyAction) -> None:
    spoil(client)
    secrets = secrets_of(stage, client)
    stage.add_fault("auth", fault, path=REFRESH)
    with opened(name, client) as transport:
        text = told_with_variables(lambda: transport.send("GET", f"{stage.api}/notes"))
    assert "keybearer" in text
    require_absent(secrets, text)


@pytest.mark.parametrize("name", OPEN)
def test_what_a_failed_connection_tells(stage: Stage, name: str) -> None:
    dead = "http://127.0.0.1:9"
    client = signed_in(stage, origins=[dead, stage.api])
    stage.add_fault("api", DropBefore())
    with opened(name, client) as transport:
        for url in (dead, stage.api):
            text = told_with_variables(partial(transport.send, "GET", url))
            require_absent(secrets_of(stage, client), text)


def operations(client: Client, stage: Stage) -> Iterator[Callable[[], object]]:
    yield lambda: client.login("nobody@example.com", PASSWORD)
    yield lambda: client.login("\ud800", PASSWORD)
    yield client.refresh
    yield client.profile
    yield client.access_token
    yield client.logout


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_a_failed_operation_tells(stage: Stage, client: Client, fault: AnyAction) -> None:
    for operation in operations(client, stage):
        client.login(stage.users[0].username, stage.users[0].password)
        change(client, expires_at=0.0)
        secrets = secrets_of(stage, client)
        stage.add_fault("auth", fault)
        try:
            text = told_with_variables(operation)
        except AssertionError:
            text = ""  # a logout tells its outcome
        require_absent(secrets, text)
        stage.clear_faults()
        forget_failures(client)


def test_what_a_wrong_key_tells(stage: Stage) -> None:
    wrong = stage.publishable_key[:-1]
    text = told_with_variables(lambda: Client(stage.base_url, api_key=wrong))
    assert wrong not in text


def test_what_is_kept_of_a_password(stage: Stage) -> None:
    client = make_client(stage)
    with pytest.raises(KeybearerError):
        client.login("nobody@example.com", PASSWORD)
    gc.collect()
    kept = [one for one in gc.get_objects() if isinstance(one, dict) and PASSWORD in list(one.values())]
    assert [one for one in kept if one is not globals() and one.get("__name__") != __name__] == []


def test_errors_hold_their_code_and_no_secret() -> None:
    for error in all_errors(ClientError):
        assert error.code == error().code
        assert error.default_detail.endswith(".") or ":" in error.default_detail
        assert str(error()) == error.default_detail
    assert len({error.code for error in all_errors(ClientError)}) == 8


def all_errors(root: type[ClientError]) -> list[type[ClientError]]:
    return [error for one in root.__subclasses__() for error in (one, *all_errors(one))]
