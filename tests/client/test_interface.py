"""The client as a program sees it: its names, its types, and what importing it brings along."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import keybearer
from keybearer import client
from keybearer.client._httpx_headers import require_known_headers
from tests.client.acting import KEY

PUBLIC = [
    "ApiKeyRejected",
    "AsyncClient",
    "AsyncTokenStore",
    "Client",
    "ClientError",
    "ConfigurationError",
    "FileStore",
    "KeyringStore",
    "LogoutOutcome",
    "MemoryStore",
    "NonReplayableBody",
    "NotLoggedIn",
    "RefreshUnavailable",
    "ServiceUnavailable",
    "SessionExpired",
    "StoreError",
    "StoreWarning",
    "TokenStore",
    "User",
]
OPERATIONS = {
    "access_token",
    "attach",
    "auth",
    "close",
    "detach",
    "end_other_sessions",
    "end_session",
    "headers_for",
    "inspect",
    "login",
    "logout",
    "profile",
    "refresh",
    "sessions",
    "signed_in",
    "user",
}
SELDOM_NEEDED = {"asyncio", "cryptography", "email", "http.client", "httpx", "httpx2", "keyring", "msgspec", "requests"}


def test_the_public_list() -> None:
    """A change of this list is a change of the public interface: CHANGELOG.md and the documentation follow it."""
    assert client.__all__ == PUBLIC
    for name in PUBLIC:
        assert hasattr(client, name)


@pytest.mark.parametrize("kind", [client.Client, client.AsyncClient])
def test_both_clients_have_the_same_operations(kind: type) -> None:
    assert {name for name in dir(kind) if not name.startswith("_")} == OPERATIONS


def test_the_clients_stand_at_the_top() -> None:
    assert keybearer.Client is client.Client
    assert keybearer.AsyncClient is client.AsyncClient


def test_an_unknown_name_is_none() -> None:
    with pytest.raises(AttributeError, match="Klient"):
        keybearer.Klient  # noqa: B018  # type: ignore[attr-defined]
    assert set(keybearer.__all__) <= set(dir(keybearer))


IMPORT = """
import sys, time
before = time.perf_counter()
import keybearer.client
print(time.perf_counter() - before)
print(*sys.modules)
"""


def test_importing_brings_little_along() -> None:
    """The time is for the reader (`pytest -s`): at most 50 ms on a machine that has nothing else to do."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, timeout=60)
    seconds, modules = done.stdout.splitlines()
    print(f"import keybearer.client: {float(seconds) * 1000:.0f} ms")  # noqa: T201
    assert SELDOM_NEEDED.isdisjoint(modules.split())


def test_an_auth_needs_its_library() -> None:
    program = (
        "from keybearer.client import Client, ConfigurationError\n"
        f"client = Client('https://auth.example.com', api_key={KEY!r})\n"
        "try: client.auth\n"
        "except ConfigurationError as error: print(error)\n"
        "import httpx\n"
        "assert isinstance(client.auth, httpx.Auth)\n"
        "import httpx2\n"
        "assert isinstance(client.auth, httpx.Auth) and isinstance(client.auth, httpx2.Auth)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "Import httpx or httpx2" in done.stdout


class Forwarding(httpx.Headers):
    """As those of an httpx that compares names in another way than the client counts on."""

    def pop(self, *_: object) -> str:
        return ""


def test_an_httpx_that_keeps_its_headers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a redirect would take the Api-Key along, unseen."""
    require_known_headers(httpx)
    monkeypatch.setattr(httpx, "Headers", Forwarding)
    with pytest.raises(client.ConfigurationError, match=f"does not know httpx {httpx.__version__}"):
        require_known_headers(httpx)


def test_httpx2_can_answer_for_httpx() -> None:
    program = (
        "import httpx2; httpx2.alias_httpx()\n"
        "import httpx\n"
        "from keybearer.client import Client\n"
        f"client = Client('https://auth.example.com', api_key={KEY!r})\n"
        "assert httpx is httpx2 and isinstance(client.auth, httpx.Auth)\n"
        "httpx.Client(auth=client.auth)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


PROGRAM = """
import asyncio

import httpx
import httpx2
import requests

import keybearer
from keybearer.client import FileStore, LogoutOutcome, RefreshUnavailable, SessionExpired, TokenStore, User

client = keybearer.Client("https://auth.example.com/v1/api", api_key="…", origins=["https://api.example.com"])
user: User = client.login("user@example.com", "password")
answer: httpx.Response = httpx.Client(auth=client.auth).get("https://api.example.com/notes")
answer2: httpx2.Response = httpx2.Client(auth=client.auth).get("https://api.example.com/notes")
session: requests.Session = client.attach(requests.Session())
store: TokenStore = FileStore("session.json")
email: str = client.profile().attributes.email
left: int = client.inspect().attributes.expires_in
names: list[str] = [one.attributes.application_name for one in client.sessions()]
try:
    outcome: LogoutOutcome = client.logout(all_devices=True)
except RefreshUnavailable as error:
    wait: float = error.retry_after
except SessionExpired as error:
    code: str = error.code


async def main() -> None:
    async with keybearer.AsyncClient("https://auth.example.com", api_key="…", store=store) as client:
        user: User = await client.login("user@example.com", "password")
        email: str = (await client.profile()).attributes.email
        async with httpx.AsyncClient(auth=client.auth) as http, httpx2.AsyncClient(auth=client.auth) as http2:
            await http.get("https://api.example.com/notes")
            await http2.get("https://api.example.com/notes")
        print(user, email)


asyncio.run(main())
print(answer, answer2, session, left, names)
"""


NEEDS_NODE = pytest.mark.skipif(shutil.which("node") is None, reason="pyright runs on Node")
QUIET = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
"""Else it asks whether there is a newer one."""


@pytest.mark.slow
@pytest.mark.parametrize("checker", [["mypy", "--strict"], pytest.param(["pyright"], marks=NEEDS_NODE)])
def test_a_program_is_well_typed(tmp_path: Path, checker: list[str]) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    tool, *options = checker
    command = [sys.executable, "-m", tool, *options, str(tmp_path / "program.py")]
    if tool == "pyright":
        command = [sys.executable, "-m", tool, "--project", str(tmp_path), "--pythonpath", sys.executable]
    environment = os.environ | QUIET
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
