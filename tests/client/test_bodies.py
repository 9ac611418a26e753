"""The body of a retried request: byte for byte what was sent first, or not sent at all."""

import asyncio
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from keybearer.client import Client, NonReplayableBody, RefreshUnavailable
from tests.client.acting import age, forget_failures, refreshes, session_of
from tests.client.transports import OPEN, Transport, opened
from tests.stage.client import Stage
from tests.stage.faults import Answer, DropBefore
from tests.stage.journal import Entry

DATA = bytes(range(256)) * 1000
ASYNC = ("httpx-async", "httpx2-async")
STREAMING = ("httpx", "httpx2", "requests")


def refuse_once(stage: Stage) -> None:
    stage.add_fault("api", Answer(401), times=1)
    stage.add_fault("api", Answer(200))


def both_attempts(stage: Stage) -> tuple[Entry, Entry]:
    first, second = stage.journal("api")
    assert (first.status, second.status) == (401, 200)
    return first, second


def require_same(stage: Stage, sha256: str | None = None) -> None:
    first, second = both_attempts(stage)
    assert (first.method, first.path, first.query) == (second.method, second.path, second.query)
    assert first.body_sha256 == second.body_sha256 == (sha256 or first.body_sha256)
    assert first.body_bytes > 0
    varying = {"authorization"}
    assert {name: first.headers[name] for name in first.headers.keys() - varying} == {
        name: second.headers[name] for name in second.headers.keys() - varying
    }


# --- sent again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"body": DATA},
        {"body": "Grüße"},
        {"json": {"text": "Grüße", "list": [1, 2]}},
        {"files": {"file": ("a.bin", DATA)}},
        {"files": {"file": ("a.bin", io.BytesIO(DATA), "application/x-test", {"X-Part": "1"})}},
    ],
    ids=["bytes", "text", "json", "multipart", "multipart with a file"],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_is_in_memory_is_sent_again(
    stage: Stage, transport: Transport, method: str, options: dict[str, Any]
) -> None:
    refuse_once(stage)
    got = transport.send(method, f"{stage.api}/things?a=1&a=2&b=%20", headers={"X-Own": "kept"}, **options)
    assert (got.status, got.retried) == (200, True)
    require_same(stage)


@pytest.mark.parametrize("name", OPEN)
def test_a_form_is_sent_again(stage: Stage, client: Client, name: str) -> None:
    refuse_once(stage)
    form = {"a": "1", "b": "x y"}
    with opened(name, client) as transport:
        options: dict[str, Any] = {"body": form} if name == "requests" else {"data": form}
        assert transport.send("POST", f"{stage.api}/things", **options).status == 200
    require_same(stage, hashlib.sha256(b"a=1&b=x+y").hexdigest())


@pytest.mark.parametrize("name", STREAMING)
def test_a_file_is_wound_back(stage: Stage, client: Client, name: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    refuse_once(stage)
    with opened(name, client) as transport, (tmp_path / "data").open("rb") as file:
        assert transport.send("POST", f"{stage.api}/things", body=file).status == 200
    require_same(stage, hashlib.sha256(DATA).hexdigest())


@pytest.mark.parametrize("name", ["httpx2", "requests"])
def test_a_file_is_wound_back_to_where_it_stood(stage: Stage, client: Client, name: str) -> None:
    """httpx announces the length of the whole file, wherever it stands, and then fails by itself."""
    file = io.BytesIO(DATA)
    file.seek(1000)
    refuse_once(stage)
    with opened(name, client) as transport:
        assert transport.send("POST", f"{stage.api}/things", body=file).status == 200
    require_same(stage, hashlib.sha256(DATA[1000:]).hexdigest())


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_list_of_pieces_is_sent_again(stage: Stage, client: Client, name: str) -> None:
    refuse_once(stage)
    with opened(name, client) as transport:
        assert transport.send("POST", f"{stage.api}/things", body=[b"one", b"two"]).status == 200
    require_same(stage, hashlib.sha256(b"onetwo").hexdigest())


# --- sent once -------------------------------------------------------------------------------------------------------


class Pipe(io.RawIOBase):
    """A file that cannot go back."""

    def __init__(self) -> None:
        self._data = io.BytesIO(DATA)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(buffer)


class Pieces:
    """An object that can be read once, and does not say so."""

    def __init__(self) -> None:
        self._pieces = iter([b"one", b"two"])

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


class Reader:
    """No more of a file than a method to read it."""

    def __init__(self) -> None:
        self._data = io.BytesIO(DATA)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def generate() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


class Untold(httpx.SyncByteStream):
    """A body of the program's own."""

    def __iter__(self) -> Iterator[bytes]:
        return generate()


@pytest.mark.parametrize("make", [generate, Pieces, Pipe, Reader, lambda: map(bytes, [b"a"])])
@pytest.mark.parametrize("name", STREAMING)
def test_what_cannot_go_back_is_sent_once(stage: Stage, client: Client, name: str, make: Callable[[], Any]) -> None:
    token = session_of(client).access_token
    refuse_once(stage)
    with opened(name, client) as transport, pytest.raises(NonReplayableBody):
        transport.send("POST", f"{stage.api}/things", body=make())
    assert [entry.status for entry in stage.journal("api")] == [401]
    assert refreshes(stage) == 1
    assert session_of(client).access_token != token


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_multipart_pipe_is_sent_once(stage: Stage, client: Client, name: str) -> None:
    refuse_once(stage)
    with opened(name, client) as transport, pytest.raises(NonReplayableBody):
        transport.send("POST", f"{stage.api}/things", files={"file": ("a.bin", Pipe())})
    assert [entry.status for entry in stage.journal("api")] == [401]


def test_a_stream_of_the_program_is_sent_once(stage: Stage, client: Client) -> None:
    refuse_once(stage)
    headers = {"Host": stage.api.removeprefix("http://"), "Transfer-Encoding": "chunked"}
    request = httpx.Request("POST", f"{stage.api}/things", stream=Untold(), headers=headers)
    with httpx.Client(auth=client.auth) as http, pytest.raises(NonReplayableBody):
        http.send(request)
    assert [entry.status for entry in stage.journal("api")] == [401]


async def generate_async() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_generator_is_sent_once(stage: Stage, client: Client, name: str) -> None:
    refuse_once(stage)
    with opened(name, client) as transport, pytest.raises(NonReplayableBody):
        transport.send("POST", f"{stage.api}/things", body=generate_async())
    assert [entry.status for entry in stage.journal("api")] == [401]
    assert refreshes(stage) == 1


def test_a_file_that_was_closed_meanwhile(stage: Stage, client: Client) -> None:
    file = io.BytesIO(DATA)

    class Closing(requests.adapters.HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            answer = super().send(*args, **kwargs)
            file.close()
            return answer

    refuse_once(stage)
    with requests.Session() as session:
        session.mount("http://", Closing())
        client.attach(session)
        with pytest.raises(NonReplayableBody):
            session.post(f"{stage.api}/things", data=file)


# --- refreshed before ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMING)
def test_a_token_near_its_end_is_refreshed_before(stage: Stage, client: Client, name: str) -> None:
    stage.add_fault("api", Answer(200))
    age(client, 30)
    with opened(name, client) as transport:
        assert transport.send("POST", f"{stage.api}/things", body=generate()).status == 200
        assert refreshes(stage) == 1
        assert transport.send("POST", f"{stage.api}/things", body=generate()).status == 200
        age(client, 61)
        assert transport.send("POST", f"{stage.api}/things", body=generate()).status == 200
        age(client, 30)
        assert transport.send("POST", f"{stage.api}/things", body=b"bytes").status == 200
    assert refreshes(stage) == 1


def test_a_token_with_a_short_life_is_near_its_end_later(stage: Stage, client: Client) -> None:
    near = client._core.is_near_end
    age(client, 10)
    assert near(session_of(client))
    session = session_of(client)
    for lifetime, left, expected in ((20, 5, False), (20, 3, True), (900, 61, False), (900, 59, True)):
        age(client, left)
        session = session_of(client)
        assert (
            near(
                type(session)(
                    session.access_token,
                    session.refresh_token,
                    session.expires_at,
                    lifetime,
                    session.session_id,
                    session.user,
                )
            )
            is expected
        )


@pytest.mark.parametrize("name", STREAMING)
def test_a_vain_early_refresh_ends_nothing(stage: Stage, client: Client, name: str) -> None:
    stage.add_fault("api", Answer(200))
    with opened(name, client) as transport:
        for fault in (DropBefore(), Answer(401), Answer(404), Answer(503)):
            stage.add_fault("auth", fault)
            forget_failures(client)
            age(client, 30)
            assert transport.send("POST", f"{stage.api}/things", body=generate()).status == 200
            stage.clear_faults()
            stage.add_fault("api", Answer(200))
    assert client.signed_in


def test_a_vain_early_refresh_of_an_expired_token_is_told(stage: Stage, client: Client) -> None:
    stage.add_fault("auth", DropBefore())
    age(client, -1)
    with opened("httpx", client) as transport, pytest.raises(RefreshUnavailable):
        transport.send("POST", f"{stage.api}/things", body=generate())
    assert stage.journal("api") == []


# --- memory ----------------------------------------------------------------------------------------------------------

UPLOAD = """
import hashlib, json, resource, sys
import httpx, httpx2, requests
from keybearer.client import Client

url, target, key, username, password, name, megabytes = sys.argv[1:]
client = Client(url, api_key=key, origins=[target])
client.login(username, password)

def pieces():
    piece = bytes(1 << 20)
    for _ in range(int(megabytes)):
        yield piece

def send(body):
    if name == "requests":
        return client.attach(requests.Session()).post(target, data=body, timeout=300).status_code
    http = {"httpx": httpx, "httpx2": httpx2}[name].Client(auth=client.auth, timeout=300)
    return http.post(target, content=body).status_code

send(b"first")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
status = send(pieces())
print(json.dumps([status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


class Drain(asyncio.Protocol):
    """Answers 200 to a chunked request once it has ended, and keeps nothing of it."""

    received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        Drain.received += len(data)
        if data.endswith((b"0\r\n\r\n", b"first")):
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("name", STREAMING)
async def test_a_gigabyte_takes_no_memory(staged: Stage, name: str) -> None:
    Drain.received = 0
    server = await asyncio.get_running_loop().create_server(Drain, "127.0.0.1", 0)
    target = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    user = staged.users[0]
    command = [sys.executable, "-c", UPLOAD, staged.base_url, target, staged.publishable_key]
    process = await asyncio.create_subprocess_exec(
        *command, user.username, user.password, name, "1024", stdout=subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 300)
    server.close()
    status, kilobytes = json.loads(out)
    assert status == 200
    assert Drain.received > 1 << 30
    assert kilobytes < 32 * 1024
