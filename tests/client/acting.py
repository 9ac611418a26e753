"""What the tests of the client do to it, and read from the stage."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from keybearer.client import AsyncClient, Client
from keybearer.client._record import Record, Session, dump, parse
from keybearer.credentials.api_key import ApiKeyKind, make_api_key
from tests.stage.client import Stage

LOGIN = "/v1/api/oauth/token"
REFRESH = "/v1/api/oauth/token/refresh"
KEY = make_api_key(ApiKeyKind.PUBLISHABLE, bytes(32))
"""The form of a key, for clients that ask nobody."""

HANG = 60.0

AnyClient = Client | AsyncClient


def make_client(stage: Stage, **options: Any) -> Client:
    """A client that nobody has logged in."""
    origins = options.pop("origins", [stage.api])
    return Client(stage.base_url, api_key=stage.publishable_key, origins=origins, **options)


def signed_in(stage: Stage, user: int = 0, **options: Any) -> Client:
    client = make_client(stage, **options)
    log_in(client, stage, user)
    return client


def log_in(client: Client, stage: Stage, user: int = 0) -> None:
    client.login(stage.users[user].username, stage.users[user].password)


def record_of(client: AnyClient) -> Record:
    record = client._core.vault.record
    assert record is not None
    return record


def session_of(client: AnyClient) -> Session:
    session = record_of(client).session
    assert session is not None
    return session


def change(client: AnyClient, **members: Any) -> None:
    """Give the session other members, in its store and in memory, as if the client had known no others."""
    vault = client._core.vault
    text = vault._store.read()
    assert text is not None
    record = parse(text)
    assert record.session is not None
    changed = replace(record, session=replace(record.session, **members))
    assert vault._store.replace(text, dump(changed))
    vault.record = changed


def spoil(client: AnyClient) -> None:
    """The access token is no longer good: guards and the service refuse it with 401."""
    head, _, signature = session_of(client).access_token.rpartition(".")
    change(client, access_token=f"{head}.{signature[::-1]}")


def spoil_in_memory(client: AnyClient) -> None:
    """As `spoil`, while the store has good tokens, or fails."""
    spoiled = replace(session_of(client), access_token="a.b.c")
    client._core.vault.record = replace(record_of(client), session=spoiled)


def age(client: AnyClient, seconds: float) -> None:
    """The access token has so many seconds left, by the client's clock."""
    change(client, expires_at=time.time() + seconds)


def forget_failures(client: AnyClient) -> None:
    client._core.refresher.forget_failures()


def refreshes(stage: Stage) -> int:
    """How many were asked of the service."""
    return len(stage.journal("auth", path=REFRESH))


def notes(stage: Stage) -> list[int | None]:
    """The statuses with which the guarded service answered."""
    return [entry.status for entry in stage.journal("api")]


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def error_document(status: int, code: str) -> dict[str, Any]:
    return {"errors": [{"status": str(status), "code": code, "title": "Title", "detail": "A detail."}]}
