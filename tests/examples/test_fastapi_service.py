"""The example, run as its page says: beside `make demo`, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from keybearer.server.cli.demo_service import Home, _stop_left_behind
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "examples" / "fastapi-service" / "service.py"
ORIGIN = "http://localhost:5173"
WITHIN = 120.0


@contextmanager
def started(directory: Path, ready: str, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process in this directory, from when it has printed a line with `ready`; it ends as by Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if ready in line:
                break
        else:
            pytest.fail("".join(lines))
        yield process
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WITHIN)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True, slots=True)
class Platform:
    """The service of the example, the service of Keybearer, and what the demo has made."""

    notes: httpx2.Client
    auth: httpx2.Client
    made: dict[str, str]

    def log_in(self) -> dict[str, str]:
        """The headers of a new session."""
        key = {"Api-Key": self.made["publishable_key"]}
        body = {"username": self.made["username"], "password": self.made["password"]}
        answer = self.auth.post("/oauth/token", headers=key, json=body)
        assert answer.status_code == 200, answer.text
        return {**key, "Authorization": f"Bearer {answer.json()['data']['attributes']['accessToken']}"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("platform")
    auth_port, notes_port = free_port(), free_port()
    demo = ("-m", "keybearer", "demo", "--port", str(auth_port))
    auth_url, notes_url = f"http://127.0.0.1:{auth_port}", f"http://127.0.0.1:{notes_port}"
    settings = {"NOTES_AUTH_URL": auth_url, "NOTES_PORT": str(notes_port)}
    try:
        with (
            started(directory, "Ctrl-C ends it.", *demo),
            started(directory, "Ctrl-C ends it.", str(SERVICE), **settings),
            httpx2.Client(base_url=notes_url, trust_env=False) as notes,
            httpx2.Client(base_url=f"{auth_url}/v1/api", trust_env=False) as auth,
        ):
            yield Platform(notes, auth, json.loads((directory / ".demo" / "demo.json").read_text()))
    finally:
        _stop_left_behind(Home(directory / ".demo"))


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


def test_notes_are_kept_listed_and_removed(platform: Platform) -> None:
    headers = platform.log_in()
    milk = platform.notes.post("/notes", headers=headers, json={"text": "milk"})
    assert milk.status_code == 201
    assert milk.json()["text"] == "milk"
    bread = platform.notes.post("/notes", headers=headers, json={"text": "bread"}).json()
    listed = platform.notes.get("/notes", headers=headers).json()
    assert [note["text"] for note in listed[:2]] == ["bread", "milk"]
    assert platform.notes.delete(f"/notes/{bread['id']}", headers=headers).status_code == 204
    assert code_of(platform.notes.delete(f"/notes/{bread['id']}", headers=headers)) == (404, "not_found")
    assert platform.notes.post("/notes", headers=headers, json={"text": ""}).status_code == 422


def test_both_credentials_are_required(platform: Platform) -> None:
    headers = platform.log_in()
    without_key = {"Authorization": headers["Authorization"]}
    assert code_of(platform.notes.get("/notes", headers=without_key)) == (403, "api_key_missing")
    refused = platform.notes.get("/notes", headers={"Api-Key": headers["Api-Key"], "Origin": ORIGIN})
    assert code_of(refused) == (401, "access_token_missing")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    guard_key = {**headers, "Api-Key": platform.made["guard_key"]}
    assert code_of(platform.notes.get("/notes", headers=guard_key)) == (403, "api_key_invalid")
    assert platform.notes.get("/health").json()["staleness"] < 60


def test_a_logout_is_refused_within_a_second(platform: Platform) -> None:
    headers = platform.log_in()
    assert platform.notes.get("/notes", headers=headers).status_code == 200
    assert platform.auth.post("/oauth/token/revoke", headers=headers).status_code == 200
    deadline = time.monotonic() + 1
    while (answer := platform.notes.get("/notes", headers=headers)).status_code == 200:
        assert time.monotonic() < deadline, "the token is still accepted"
        time.sleep(0.005)
    assert code_of(answer) == (401, "access_token_revoked")


def test_the_document_asks_for_both(platform: Platform) -> None:
    operation = platform.notes.get("/openapi.json").json()["paths"]["/notes"]["get"]
    assert operation["security"] == [{"ApiKey": [], "AccessToken": []}]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "Set NOTES_GUARD_KEY"),
        ({"NOTES_GUARD_KEY": "nonsense"}, "secret"),
        ({"NOTES_PORT": "many"}, "NOTES_PORT is a number"),
    ],
)
def test_what_is_wrong_is_said_at_the_start(tmp_path: Path, settings: dict[str, str], complaint: str) -> None:
    command = [sys.executable, str(SERVICE)]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("notes: ")
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
