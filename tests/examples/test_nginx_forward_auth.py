"""examples/nginx-forward-auth with a real nginx, a real service behind it and a real Keybearer beside it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from keybearer.server.domain.sessions import EndReason
from tests.guard.integrations.browser import SAID, tell_from_a_page
from tests.http.test_outage import let_process_age
from tests.http.test_outage import outage as outage
from tests.http.world import OPERATOR, ORIGIN, World, running
from tests.support.backends import Backend
from tests.support.outages import Outage
from tests.support.ports import free_port
from tests.support.programs import find_program

START = Path(__file__).parents[2] / "examples" / "nginx-forward-auth" / "start.sh"
IDENTITY = ("user", "application", "session", "roles")
STARTING = 20.0


@pytest.fixture(scope="session")
def nginx() -> str:
    return find_program("nginx", "nginx-light")


class Echo(BaseHTTPRequestHandler):
    """The guarded service: it answers what it was sent, and knows nothing of CORS and of tokens."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        received = {
            "method": self.command,
            "headers": [(name.lower(), value) for name, value in self.headers.items()],
            "body": self.rfile.read(length).decode(),
        }
        body = json.dumps(received).encode()
        self.send_response(401 if self.path == "/its-own-401" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_OPTIONS(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    """The address of the guarded service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@dataclass
class Guarded:
    """The service behind nginx. `headers` are the credentials of a caller with a session."""

    world: World
    address: tuple[str, int]
    client: httpx2.AsyncClient
    session: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        return {"Api-Key": self.world.key, "Authorization": f"Bearer {self.session['accessToken']}"}

    async def raw(self, *lines: str) -> dict[str, str]:
        """`GET /` with header lines exactly as they are written; what the service received, by name."""
        reader, writer = await asyncio.open_connection(*self.address)
        credentials = [f"{name}: {value}" for name, value in self.headers.items()]
        head = ["GET / HTTP/1.1", "Host: x", "Connection: close", *credentials, *lines, "", ""]
        writer.write("\r\n".join(head).encode())
        answer = await reader.read()
        writer.close()
        head_text, _, body = answer.partition(b"\r\n\r\n")
        assert head_text.startswith(b"HTTP/1.1 200"), answer
        return dict(json.loads(body)["headers"])


@pytest.fixture
async def guarded(backend: Backend, nginx: str, service: str) -> AsyncIterator[Guarded]:
    async with guarding(backend, nginx, service) as guarded:
        yield guarded


@asynccontextmanager
async def guarding(backend: Backend, nginx: str, service: str) -> AsyncIterator[Guarded]:
    async with running(backend) as world:
        await world.storage.users.set_roles(world.user.id, add=frozenset({"editor"}), actor=OPERATOR)
        await world.service.follower.catch_up()
        session = await world.session()
        with started(nginx, "{}:{}".format(*world.address), service) as address:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}", timeout=30) as client:
                await until_it_listens(address)
                yield Guarded(world, address, client, session)


@contextmanager
def started(nginx: str, keybearer: str, service: str) -> Iterator[tuple[str, int]]:
    """The example, as its script starts it, on a port that is free."""
    address = free_address()
    environment = {
        **os.environ,
        "PATH": os.environ["PATH"] + os.pathsep + str(Path(nginx).parent),
        "LISTEN": "{}:{}".format(*address),
        "KEYBEARER": keybearer,
        "SERVICE": service,
        "ORIGIN": ORIGIN,
    }
    process = subprocess.Popen([START], env=environment, stderr=sys.stderr)
    try:
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def free_address() -> tuple[str, int]:
    return "127.0.0.1", free_port()


async def until_it_listens(address: tuple[str, int]) -> None:
    async with asyncio.timeout(STARTING):
        while True:
            try:
                _, writer = await asyncio.open_connection(*address)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def received(answer: httpx2.Response) -> dict[str, str]:
    """The headers that the service was sent."""
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["headers"])


def identity(headers: dict[str, str]) -> tuple[str | None, ...]:
    return tuple(headers.get(f"x-keybearer-{name}") for name in IDENTITY)


def readable_by_a_browser(answer: httpx2.Response) -> bool:
    exposed = answer.headers.get("access-control-expose-headers", "")
    return (
        answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
        and "WWW-Authenticate" in exposed
        and answer.headers["vary"] == "Origin"
    )


async def test_the_service_learns_who_calls(guarded: Guarded) -> None:
    world = guarded.world
    answer = await guarded.client.post("/orders?x=1", headers=guarded.headers, content=b"a body")
    who = (str(world.user.id), str(world.application.id), guarded.session["sessionId"], "editor")
    headers = received(answer)
    assert identity(headers) == who
    assert (answer.json()["method"], answer.json()["body"]) == ("POST", "a body")
    assert "api-key" not in headers and "authorization" not in headers
    assert headers["x-request-id"]


async def test_a_refusal_has_its_code_and_cors_headers(guarded: Guarded) -> None:
    origin = {"Origin": ORIGIN}
    missing = await guarded.client.get("/", headers={"Api-Key": guarded.world.key, **origin})
    assert error_of(missing) == (401, "access_token_missing")
    assert missing.headers.get_list("www-authenticate") == ["Bearer"]
    no_key = await guarded.client.get("/", headers=origin)
    assert error_of(no_key) == (403, "api_key_missing")
    assert "www-authenticate" not in no_key.headers
    await guarded.world.storage.sessions.end(UUID(guarded.session["sessionId"]), EndReason.ADMINISTRATOR, OPERATOR)
    await guarded.world.service.follower.catch_up()
    revoked = await guarded.client.get("/", headers={**guarded.headers, **origin})
    assert error_of(revoked) == (401, "access_token_revoked")
    assert revoked.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    for answer in (missing, no_key, revoked):
        assert readable_by_a_browser(answer)
        assert answer.json()["errors"][0]["meta"]["requestId"]


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    assert error["status"] == str(answer.status_code)
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, error["code"]


async def test_a_repeated_key_is_refused(guarded: Guarded) -> None:
    headers = [*guarded.headers.items(), ("Api-Key", guarded.world.key)]
    assert error_of(await guarded.client.get("/", headers=headers)) == (403, "malformed_request")


async def test_an_answer_of_the_service_is_left_as_it_is(guarded: Guarded) -> None:
    answer = await guarded.client.get("/its-own-401", headers={**guarded.headers, "Origin": ORIGIN})
    assert answer.status_code == 401 and "headers" in answer.json()
    assert readable_by_a_browser(answer)
    foreign = await guarded.client.get("/", headers={**guarded.headers, "Origin": "https://evil.example.com"})
    assert error_of(foreign) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in foreign.headers


async def test_a_preflight_is_answered(guarded: Guarded) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = await guarded.client.options("/orders", headers=headers)
    assert answer.status_code == 204
    assert readable_by_a_browser(answer)
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = {name.strip() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"Api-Key", "Authorization", "Content-Type"} <= allowed


async def test_a_real_browser(guarded: Guarded) -> None:
    """What a page reads through the proxy is what it reads of the service: tests/guard/integrations/test_browser.py."""
    url = str(guarded.client.base_url.join("/orders"))
    assert await tell_from_a_page(url, guarded.world.key, guarded.session["accessToken"]) == SAID


async def test_other_options_pass_and_are_nobodys(guarded: Guarded) -> None:
    answer = await guarded.client.options("/orders", headers={"X-Keybearer-User": "somebody"})
    assert identity(received(answer)) == (None, None, None, None)
    assert answer.json()["method"] == "OPTIONS"


async def test_a_caller_cannot_make_his_request_one_of_options(guarded: Guarded) -> None:
    for name in ("X-Original-Method", "X_Original_Method", "X-Forwarded-Method"):
        answer = await guarded.client.get("/?methodHeader=X-Forwarded-Method", headers={name: "OPTIONS"})
        assert error_of(answer) == (403, "api_key_missing")


async def test_what_a_caller_says_of_himself_never_gets_through(guarded: Guarded) -> None:
    """With underscores too: a service under WSGI could not tell them from hyphens."""
    forms = ("X-Keybearer-{}", "x-keybearer-{}", "X_Keybearer_{}", "X-Keybearer_{}", "X_Keybearer-{}")
    names = ("User", "Application", "Session", "Roles", "Error")
    for name in names:
        headers = await guarded.raw(*(f"{form.format(name)}: somebody" for form in forms))
        assert "somebody" not in headers.values()
        assert identity(headers)[0] == str(guarded.world.user.id)


async def test_no_roles_take_the_callers_own_away(guarded: Guarded) -> None:
    remove = frozenset({"editor"})
    await guarded.world.storage.users.set_roles(guarded.world.user.id, remove=remove, actor=OPERATOR)
    await guarded.world.service.follower.catch_up()
    guarded.session = await guarded.world.session()
    headers = await guarded.raw("X-Keybearer-Roles: admin", "X_Keybearer_Roles: admin")
    assert identity(headers)[3] is None


async def test_the_auth_request_cannot_be_asked_from_outside(guarded: Guarded) -> None:
    assert (await guarded.client.get("/_keybearer", headers=guarded.headers)).status_code == 404


async def test_keybearer_cannot_tell(outage: Outage, nginx: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with guarding(outage.world.backend, nginx, service) as guarded:
        outage.begin()
        let_process_age(guarded.world, monkeypatch, 61)
        answer = await guarded.client.get("/", headers={**guarded.headers, "Origin": ORIGIN})
        outage.end()
    assert error_of(answer) == (503, "storage_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert readable_by_a_browser(answer)


async def test_keybearer_is_not_there(nginx: str, service: str) -> None:
    nobody = "{}:{}".format(*free_address())
    with started(nginx, nobody, service) as address:
        await until_it_listens(address)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}", timeout=30) as client:
            answer = await client.get("/", headers={"Origin": ORIGIN, "X-Keybearer-User": "somebody"})
    assert error_of(answer) == (503, "storage_unavailable")
    assert readable_by_a_browser(answer)


def test_the_page_shows_the_configuration_that_runs() -> None:
    page = (START.parents[2] / "docs" / "integrations" / "nginx.md").read_text()
    shown = page.partition("```nginx\n")[2].partition("```")[0].splitlines()
    configured = {line.strip() for line in (START.parent / "nginx.conf").read_text().splitlines()}
    assert {line.strip() for line in shown if line.strip() and "…" not in line} <= configured
