"""Neither header leaves for another origin: not by an absolute URL, not by a redirect, not through netrc or proxies."""

import asyncio
import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests
from requests.adapters import HTTPAdapter

from keybearer.client import Client, ConfigurationError
from keybearer.client._origins import make_origins
from tests.client.acting import KEY, make_client, notes, refreshes, session_of, signed_in, spoil
from tests.client.transports import OPEN, Transport, opened
from tests.stage.client import Stage
from tests.stage.faults import Redirect

REDIRECTS = (301, 302, 303, 307, 308)


def require_bare(stage: Stage) -> None:
    """Something has arrived at the other origin, and none of it has a credential."""
    entries = stage.journal("other")
    assert entries
    for entry in entries:
        assert "api-key" not in entry.headers
        assert "authorization" not in entry.headers
        assert "kbp_" not in repr(entry.headers)


# --- where requests go -----------------------------------------------------------------------------------------------


def test_an_absolute_url_elsewhere_goes_out_bare(stage: Stage, transport: Transport) -> None:
    assert transport.send("GET", f"{stage.other}/notes").status == 200
    require_bare(stage)


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_elsewhere_goes_out_bare(stage: Stage, transport: Transport, status: int, method: str) -> None:
    stage.add_fault("api", Redirect(f"{stage.other}/notes", status))
    assert transport.send(method, f"{stage.api}/notes", follow=True).status == 200
    require_bare(stage)


@pytest.mark.parametrize("name", OPEN)
def test_a_redirect_elsewhere_goes_out_bare_without_a_session(stage: Stage, name: str) -> None:
    stage.add_fault("api", Redirect(f"{stage.other}/notes", 307))
    with opened(name, make_client(stage)) as transport:
        assert transport.send("GET", f"{stage.api}/notes", follow=True).status == 200
        assert (
            transport.send("GET", f"{stage.api}/notes", follow=True, headers={"Authorization": "Bearer mine"}).status
            == 200
        )
    require_bare(stage)


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_within_the_origin_keeps_both(stage: Stage, transport: Transport, status: int) -> None:
    stage.add_fault("api", Redirect(f"{stage.api}/notes", status), path="/start")
    got = transport.send("GET", f"{stage.api}/start", follow=True)
    assert (got.status, got.hops) == (200, (status,))


def test_a_redirect_to_a_path_keeps_both(stage: Stage, transport: Transport) -> None:
    stage.add_fault("api", Redirect("/notes", 302), path="/start")
    assert transport.send("GET", f"{stage.api}/start", follow=True).status == 200


def test_a_chain_that_leaves_and_comes_back(stage: Stage, client: Client, transport: Transport) -> None:
    """Out of the origin and into it again: no other site can borrow the credentials."""
    stage.add_fault("api", Redirect("/two", 302), path="/one")
    stage.add_fault("api", Redirect(f"{stage.other}/three", 302), path="/two")
    stage.add_fault("other", Redirect(f"{stage.api}/notes", 302), path="/three")
    assert transport.send("GET", f"{stage.api}/one", follow=True).status == 403
    require_bare(stage)
    assert refreshes(stage) == 0


def test_a_redirect_from_elsewhere_comes_in_bare(stage: Stage, transport: Transport) -> None:
    stage.add_fault("other", Redirect(f"{stage.api}/notes", 302))
    assert transport.send("GET", f"{stage.other}/notes", follow=True).status == 403
    assert refreshes(stage) == 0


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("name", OPEN)
def test_a_redirect_between_listed_origins_is_bare(stage: Stage, name: str, status: int) -> None:
    """Where credentials go is for the program to say, not for who redirects it."""
    client = signed_in(stage, origins=[stage.api, stage.other])
    stage.clear_journal()
    stage.add_fault("api", Redirect(f"{stage.other}/notes", status), path="/start")
    with opened(name, client) as transport:
        assert transport.send("GET", f"{stage.api}/start", follow=True).status == 200
        require_bare(stage)
        stage.clear_journal()
        assert transport.send("GET", f"{stage.other}/notes").status == 200
    assert "api-key" in stage.journal("other")[0].headers


def test_what_is_refused_behind_a_redirect_is_retried_there(stage: Stage, client: Client, transport: Transport) -> None:
    spoil(client)
    stage.add_fault("api", Redirect("/notes", 303), path="/orders", method="POST")
    assert transport.send("POST", f"{stage.api}/orders", body=b"one", follow=True).status == 200
    assert [entry.path for entry in stage.journal("api")] == ["/orders", "/notes", "/notes"]


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_redirect_that_the_program_follows_itself(stage: Stage, client: Client, module: Any) -> None:
    stage.add_fault("api", Redirect("/notes", 302), path="/start")
    stage.add_fault("api", Redirect(f"{stage.other}/notes", 302), path="/away")
    with module.Client(auth=client.auth) as http:
        request = http.get(f"{stage.api}/start").next_request
        assert request is not None
        spoil(client)
        assert http.send(request).status_code == 200
        request = http.get(f"{stage.api}/away").next_request
        assert request is not None
        assert http.send(request).status_code == 200
        again = http.get(f"{stage.api}/notes").request
        again.url = again.url.copy_with(port=int(stage.other.rpartition(":")[2]))
        assert http.send(again).status_code == 200
    require_bare(stage)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_transports_that_are_no_network_see_both(client: Client, stage: Stage, module: Any) -> None:
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request)
        return module.Response(200)

    with module.Client(auth=client.auth, transport=module.MockTransport(answer)) as http:
        http.get(f"{stage.api}/notes")
    (request,) = seen
    assert request.headers["api-key"] == stage.publishable_key
    assert request.headers["authorization"] == f"Bearer {session_of(client).access_token}"


def test_other_spellings_of_an_origin(stage: Stage, transport: Transport) -> None:
    host = stage.api.removeprefix("http://")
    assert transport.send("GET", f"HTTP://{host}/notes").status == 200
    assert transport.send("GET", f"{stage.api}/notes#fragment").status == 200


def test_what_only_looks_like_an_origin(stage: Stage, transport: Transport) -> None:
    port = stage.other.rpartition(":")[2]
    host = stage.api.removeprefix("http://").partition(":")[0]
    transport.send("GET", f"http://{host}:{port}/{stage.api}/notes")
    transport.send("GET", f"http://{host}:{port}?{stage.api}/notes")
    require_bare(stage)


# --- which origins there can be --------------------------------------------------------------------------------------


def test_http_beyond_this_machine_is_refused() -> None:
    for base, origins in (
        ("http://auth.example.com/v1/api", []),
        ("https://auth.example.com", ["http://api.example.com"]),
        ("https://auth.example.com", ["http://10.0.0.1:8080"]),
    ):
        with pytest.raises(ConfigurationError, match="insecure_origins"):
            Client(base, api_key=KEY, origins=origins)
    insecure = ["http://auth.example.com", "http://api.example.com:8080"]
    Client("http://auth.example.com", api_key=KEY, insecure_origins=insecure)
    Client("http://localhost:8100", api_key=KEY, origins=["http://[::1]:9000", "http://127.0.0.2"])


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "api.example.com",
        "https://",
        "ftp://api.example.com",
        "https://api.example.com/path",
        "https://api.example.com?x",
        "https://user@api.example.com",
        "https://api.example.com:port",
        "https://api.éxample.com",
        "*",
        7,
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError):
        Client("https://auth.example.com", api_key=KEY, origins=[origin])


def test_one_text_is_no_list() -> None:
    with pytest.raises(ConfigurationError):
        Client("https://auth.example.com", api_key=KEY, origins="https://api.example.com")


@pytest.mark.parametrize("base", ["", "auth.example.com", "https://u:p@auth.example.com", "https://a.example/?q", 7])
def test_what_is_no_base_url_is_refused(base: str) -> None:
    with pytest.raises(ConfigurationError):
        Client(base, api_key=KEY)


@pytest.mark.parametrize("key", ["", "kbp", KEY + "\n", KEY[:-1], KEY + "A", "kbx" + KEY[3:], "kb\0" + KEY[3:], None])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client("https://auth.example.com", api_key=key)
    assert KEY[4:40] not in str(caught.value)


def test_the_default_port_can_be_written() -> None:
    places = make_origins("https://auth.example.com", ["https://API.example.com:443"], []).places
    assert places == {("https", "auth.example.com", 443), ("https", "api.example.com", 443)}


# --- a session of requests -------------------------------------------------------------------------------------------


def test_a_session_is_left_as_it_was(stage: Stage, client: Client) -> None:
    session = requests.Session()
    own, narrow = HTTPAdapter(), HTTPAdapter()
    session.mount(f"{stage.api}/", own)
    session.mount(f"{stage.api}/notes", narrow)
    before = dict(session.adapters)
    for _ in range(2):
        assert client.attach(session) is session
    assert session.get(f"{stage.api}/notes").status_code == 200
    assert session.auth is None
    client.detach(session)
    assert dict(session.adapters) == before
    assert "rebuild_auth" not in vars(session)
    assert session.get(f"{stage.api}/notes").status_code == 403
    session.close()


def test_adapters_of_the_program_do_the_sending(stage: Stage, client: Client) -> None:
    class Counting(HTTPAdapter):
        sent = 0

        def send(self, *args: object, **kwargs: object) -> requests.Response:
            self.sent += 1
            return super().send(*args, **kwargs)  # type: ignore[arg-type]

    before, after = Counting(), Counting()
    with requests.Session() as session:
        session.mount("http://", before)
        client.attach(session)
        session.get(f"{stage.api}/notes")
        session.mount("http://127", after)
        session.get(f"{stage.api}/notes")
    assert (before.sent, after.sent) == (1, 1)
    assert notes(stage) == [200, 200]


def test_two_clients_can_share_a_session(stage: Stage, client: Client) -> None:
    other = signed_in(stage, 1, origins=[stage.other])
    stage.clear_journal()
    with requests.Session() as session:
        client.attach(session)
        other.attach(session)
        assert session.get(f"{stage.api}/notes").status_code == 200
        assert session.get(f"{stage.other}/x").status_code == 200
    token = session_of(client).access_token
    assert stage.journal("api")[0].headers["authorization"] == f"Bearer {token}"
    assert stage.journal("other")[0].headers["authorization"] == f"Bearer {session_of(other).access_token}"


class Careless(requests.Session):
    """Keeps what others take away at a redirect, as some programs want it."""

    rebuilt = 0

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        self.rebuilt += 1

    def should_strip_auth(self, old_url: str, new_url: str) -> bool:
        return False


def test_a_session_that_strips_nothing(stage: Stage, client: Client) -> None:
    stage.add_fault("api", Redirect(f"{stage.other}/notes", 302), path="/start")
    client.attach(careless := Careless())
    signed_in(stage, 1, origins=[stage.other]).attach(careless)
    stage.clear_journal()
    with careless:
        assert careless.get(f"{stage.api}/start").status_code == 200
    assert careless.rebuilt == 1
    require_bare(stage)


def test_a_copy_of_a_session_is_as_careful(stage: Stage) -> None:
    client = signed_in(stage, origins=[stage.api, stage.other])
    stage.clear_journal()
    stage.add_fault("api", Redirect(f"{stage.other}/notes", 302), path="/start")
    with pickle.loads(pickle.dumps(client.attach(requests.Session()))) as copy:  # noqa: S301
        assert copy.get(f"{stage.api}/start").status_code == 200
    require_bare(stage)


def test_what_a_program_has_put_in_place_of_a_method_stays(stage: Stage, client: Client) -> None:
    other = signed_in(stage, 1, origins=[stage.other])
    session = requests.Session()
    asked: list[str | None] = []
    own = lambda request, _: asked.append(request.url)  # noqa: E731
    session.rebuild_auth = own  # type: ignore[method-assign]
    client.attach(session)
    other.attach(session)
    stage.add_fault("api", Redirect("/notes", 302), path="/start")
    assert session.get(f"{stage.api}/start").status_code == 200
    assert asked == [f"{stage.api}/notes"]
    client.detach(session)
    assert session.rebuild_auth is not own
    other.detach(session)
    assert session.rebuild_auth is own
    session.close()


# --- the surroundings of a program -----------------------------------------------------------------------------------


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "netrc"
    file.write_text("default login somebody password secret\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


@pytest.mark.usefixtures("netrc")
def test_netrc_overrides_nothing(stage: Stage, client: Client) -> None:
    stage.add_fault("api", Redirect("/notes", 302), path="/start")
    with requests.Session() as session, httpx.Client(auth=client.auth) as http:
        client.attach(session)
        assert session.get(f"{stage.api}/start").status_code == 200
        assert http.get(f"{stage.api}/start", follow_redirects=True).status_code == 200
        spoil(client)
        assert session.get(f"{stage.api}/notes").status_code == 200
        client.logout()
        session.get(f"{stage.api}/notes")
    client.login(stage.users[0].username, stage.users[0].password)
    assert not [entry for entry in stage.journal() if "basic" in entry.headers.get("authorization", "").lower()]


@pytest.mark.usefixtures("netrc")
def test_netrc_is_not_mistaken_for_the_program(stage: Stage, client: Client) -> None:
    with requests.Session() as session:
        client.attach(session)
        session.get(f"{stage.api}/notes", auth=("me", "mine"))
        assert stage.journal("api")[0].headers["authorization"] == "Basic bWU6bWluZQ=="
        session.get(f"{stage.other}/notes")
    assert stage.journal("other")[0].headers["authorization"].startswith("Basic")


@contextmanager
def trap() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that answers nothing and keeps what it was sent."""
    caught: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    caught.append(connection.recv(65536))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", caught
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_the_service_is_asked_past_every_proxy(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with trap() as (proxy, caught):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        client = signed_in(stage)
        client.refresh()
        client.profile()
        client.logout()
    assert caught == []


def test_hooks_see_no_refresh(stage: Stage, client: Client) -> None:
    seen: list[str] = []
    spoil(client)
    hooks = {"request": [lambda request: seen.append(request.url.path)]}
    with httpx.Client(auth=client.auth, event_hooks=hooks) as http:
        assert http.get(f"{stage.api}/notes").status_code == 200
    assert seen == ["/notes", "/notes"]
    assert refreshes(stage) == 1


async def test_headers_for_a_url(stage: Stage, client: Client) -> None:
    both = {"Api-Key": stage.publishable_key, "Authorization": f"Bearer {session_of(client).access_token}"}
    headers = await asyncio.to_thread(client.headers_for, f"{stage.api}/notes?a=1#b")
    assert headers == both
    for url in (f"{stage.other}/notes", "http://", "nothing", f"{stage.api}@evil.example/", "http://[", ""):
        assert await asyncio.to_thread(client.headers_for, url) == {}
