"""How `keybearer serve` ends: what it answers until then, and which signals it waits for."""

import signal
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.cli.commands import WITHIN, Commands, Serving

LONG = "600"
"""Seconds of delay, in which no test would end by itself."""

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def get(serving: Serving, path: str) -> httpx2.Response:
    return httpx2.get(serving.url + path, trust_env=False)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@WORKERS
def test_the_delay_begins_with_a_signal_and_ends_with_the_next(sqlite_commands: Commands, workers: str) -> None:
    with sqlite_commands.serving("--workers", workers, KEYBEARER_SHUTDOWN_DELAY=LONG) as serving:
        assert "connection" not in get(serving, "/health/ready").headers
        serving.process.send_signal(signal.SIGTERM)
        until(lambda: get(serving, "/health/ready").status_code == 503)
        served = get(serving, "/health/live")
        ended = serving.stop(signal.SIGTERM)
    assert (served.status_code, served.headers.get_list("connection")) == (200, ["close"])
    assert ended.status == 0 and "Traceback" not in ended.err


@WORKERS
def test_nobody_waits_for_the_delay_at_a_terminal(sqlite_commands: Commands, workers: str) -> None:
    with sqlite_commands.serving("--workers", workers, KEYBEARER_SHUTDOWN_DELAY=LONG) as serving:
        assert serving.stop(signal.SIGINT).status == 0


def test_the_delay_ends_by_itself(sqlite_commands: Commands) -> None:
    with sqlite_commands.serving(KEYBEARER_SHUTDOWN_DELAY="1") as serving:
        assert serving.stop(signal.SIGTERM).status == 0


@WORKERS
def test_a_request_under_way_is_answered(sqlite_commands: Commands, workers: str) -> None:
    """Of which half had been sent when the service stopped listening."""
    with sqlite_commands.serving("--workers", workers) as serving:
        address = urlsplit(serving.url)
        with socket.create_connection((str(address.hostname), address.port or 0), timeout=WITHIN) as caller:
            head = "POST /v1/api/oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            caller.sendall(f"{head}Content-Length: 2\r\n\r\n{{".encode())
            serving.process.send_signal(signal.SIGTERM)
            until(lambda: not listens(serving))
            caller.sendall(b"}")
            answer = b"".join(iter(lambda: caller.recv(65536), b""))
        serving.process.communicate(timeout=WITHIN)
    assert answer.startswith(b"HTTP/1.1 403 ") and b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"}") and b"api_key_missing" in answer


def listens(serving: Serving) -> bool:
    try:
        get(serving, "/health/live")
    except httpx2.ConnectError:
        return False
    return True
