"""From an empty database to a revoked session, with an operator's commands, each in a process of its own."""

import signal
import time
from pathlib import Path

import httpx2
import pytest

from keybearer import __version__
from tests.cli.commands import KEY_ENCRYPTION_KEY, PASSWORD, WITHIN, Commands, Serving
from tests.support.databases import Databases
from tests.support.ports import free_port

ORIGIN = "https://shop.example.com"


@pytest.fixture
def commands(databases: Databases, tmp_path: Path) -> Commands:
    """Commands on a database without tables, on each backend in turn."""
    return Commands(
        tmp_path,
        {"KEYBEARER_DATABASE": databases.empty(), "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY},
    )


def log_in(serving: Serving, key: str) -> dict[str, str]:
    """What Jane is given: the attributes of her session."""
    body = {"username": "jane@example.com", "password": PASSWORD}
    headers = {"Api-Key": key, "Origin": ORIGIN}
    answer = httpx2.post(f"{serving.url}/v1/api/oauth/token", json=body, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    attributes: dict[str, str] = answer.json()["data"]["attributes"]
    return attributes


def look(serving: Serving, key: str, token: str) -> tuple[int, str]:
    headers = {"Api-Key": key, "Authorization": f"Bearer {token}"}
    answer = httpx2.get(f"{serving.url}/v1/api/oauth/token/info", headers=headers, trust_env=False)
    return answer.status_code, answer.json()["errors"][0]["code"] if answer.status_code != 200 else ""


def wait_for(serving: Serving, key: str, token: str, expected: tuple[int, str]) -> None:
    """What the command line does reaches a running service within a moment."""
    deadline = time.monotonic() + WITHIN
    while (seen := look(serving, key, token)) != expected:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)


def set_up(commands: Commands) -> tuple[str, str]:
    """An application and a user: the application's key and its id."""
    migrated = commands.spawn("migrate", "--json").json()
    assert migrated["before"] is None and migrated["revision"]
    application = commands.spawn("applications", "create", "Web shop", "--origin", ORIGIN, "--json").json()
    names = ("--first-name", "Jane", "--last-name", "Doe")
    user = commands.spawn("users", "create", "jane@example.com", *names, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert user.status == 0 and PASSWORD not in user.out + user.err
    return application["api_key"], application["id"]


def test_from_nothing_to_a_revoked_session(commands: Commands) -> None:
    key, application_id = set_up(commands)
    with commands.serving() as serving:
        session = log_in(serving, key)
        assert look(serving, key, session["accessToken"]) == (200, "")
        [listed] = commands.spawn("sessions", "list", "--user", "jane@example.com", "--json").json()
        assert listed["id"] == session["sessionId"] and listed["application"] == "Web shop"
        commands.spawn("sessions", "revoke", session["sessionId"], "--json").json()
        wait_for(serving, key, session["accessToken"], (401, "access_token_revoked"))
        second = log_in(serving, key)
        commands.spawn("applications", "disable", application_id, "--json").json()
        wait_for(serving, key, second["accessToken"], (403, "application_disabled"))
        ended = serving.stop(signal.SIGTERM)
    assert ended.status == 0 and ended.out == ""
    for secret in (key, PASSWORD, session["accessToken"], session["refreshToken"], KEY_ENCRYPTION_KEY):
        assert secret not in ended.err


def test_several_workers_and_what_they_count(sqlite_commands: Commands) -> None:
    key = sqlite_commands.json("applications", "create", "Web shop")["api_key"]
    metrics_port = free_port()
    with sqlite_commands.serving("--workers", "2", KEYBEARER_METRICS_PORT=str(metrics_port)) as serving:
        for _ in range(20):
            assert look(serving, key, "nonsense")[0] == 401
        metrics = httpx2.get(f"http://127.0.0.1:{metrics_port}/metrics", trust_env=False).text
        ended = serving.stop(signal.SIGTERM)
    counted = 'keybearer_requests_total{code="access_token_invalid",operation="inspectToken",status="401"} 20.0'
    assert counted in metrics.splitlines()
    assert key not in metrics
    assert ended.status == 0
    assert ended.err.count("Started server process") == 2


def test_the_metrics_of_one_process(sqlite_commands: Commands) -> None:
    metrics_port = free_port()
    with sqlite_commands.serving("--base-path", "/auth", KEYBEARER_METRICS_PORT=str(metrics_port)) as serving:
        assert httpx2.get(f"{serving.url}/auth/oauth/token/info", trust_env=False).status_code == 403
        metrics = httpx2.get(f"http://127.0.0.1:{metrics_port}/metrics", trust_env=False).text
        ended = serving.stop(signal.SIGINT)
    assert 'keybearer_requests_total{code="api_key_missing",operation="inspectToken",status="403"} 1.0' in metrics
    assert ended.status == 0


def test_the_version() -> None:
    assert Commands(Path.cwd()).spawn("--version").out.strip() == __version__
