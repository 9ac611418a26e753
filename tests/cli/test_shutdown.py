"""How `keybearer serve` ends: what it answers until then, and which signals it waits for."""

import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from keybearer.server.cli.serving import Supervisor, Worker
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


def closing(served: httpx2.Response) -> bool:
    assert served.status_code == 200
    return served.headers.get_list("connection") == ["close"]


@WORKERS
def test_the_delay_begins_with_a_signal_and_ends_with_the_next(sqlite_commands: Commands, workers: str) -> None:
    with sqlite_commands.serving("--workers", workers, KEYBEARER_SHUTDOWN_DELAY=LONG) as serving:
        assert "connection" not in get(serving, "/health/ready").headers
        serving.process.send_signal(signal.SIGTERM)
        until(lambda: get(serving, "/health/ready").status_code == 503)
        until(lambda: all(closing(get(serving, "/health/live")) for _ in range(8)))  # each worker hears it for itself
        ended = serving.stop(signal.SIGTERM)
    assert ended.status == 0 and "Traceback" not in ended.err


@WORKERS
def test_nobody_waits_for_the_delay_at_a_terminal(sqlite_commands: Commands, workers: str) -> None:
    with sqlite_commands.serving("--workers", workers, KEYBEARER_SHUTDOWN_DELAY=LONG) as serving:
        assert serving.stop(signal.SIGINT).status == 0


def test_two_signals_at_once_are_two(sqlite_commands: Commands) -> None:
    with sqlite_commands.serving("--workers", "2", KEYBEARER_SHUTDOWN_DELAY=LONG) as serving:
        serving.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)  # the second is no second while the first has not been delivered
        assert serving.stop(signal.SIGTERM).status == 0


def test_the_second_signal_ends_workers_that_have_not_heard_of_the_first() -> None:
    """They take it for the first, so they are told once more."""
    spawn = multiprocessing.get_context("spawn")
    listens = spawn.Event()
    process = spawn.Process(target=end_at_the_second_signal, args=(listens,))
    process.start()
    try:
        assert listens.wait(WITHIN)
        # Neither is made: it would start a server, and take this process's signals.
        worker, supervisor = object.__new__(Worker), object.__new__(Supervisor)
        worker.process = process
        supervisor.processes = [worker]
        supervisor.signal_queue = [signal.SIGTERM]
        waiting = threading.Thread(target=supervisor.join_all, daemon=True)
        waiting.start()
        waiting.join(WITHIN)
        assert not waiting.is_alive() and process.exitcode == 0
    finally:
        process.kill()
        process.join()


def end_at_the_second_signal(listens: Event) -> None:
    """What a worker does that has a delay."""
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    listens.set()
    while len(heard) < 2:
        signal.pause()
    os._exit(0)  # a third one, while the interpreter ends, would be its end


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the children of a process")
def test_workers_that_others_replace_wait_for_nothing(sqlite_commands: Commands) -> None:
    with sqlite_commands.serving("--workers", "2", KEYBEARER_SHUTDOWN_DELAY=LONG) as serving:
        before = children(serving)
        serving.process.send_signal(signal.SIGHUP)
        until(lambda: len(before - children(serving)) == 2)
        assert get(serving, "/health/ready").status_code == 200
        ended = serving.stop(signal.SIGINT)
    assert ended.status == 0 and "Traceback" not in ended.err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the children of a process")
def test_a_worker_that_is_ended_alone_takes_nobody_with_it(sqlite_commands: Commands) -> None:
    """They listen to the same socket."""
    with sqlite_commands.serving("--workers", "2") as serving:
        ended = workers_of(serving).pop()
        os.kill(ended, signal.SIGTERM)
        until(lambda: ended not in workers_of(serving) and len(workers_of(serving)) == 2)
        assert all(get(serving, "/health/live").status_code == 200 for _ in range(20))
        assert serving.stop(signal.SIGTERM).status == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the children of a process")
def test_the_delay_is_kept_when_all_processes_are_told_at_once(sqlite_commands: Commands) -> None:
    """As systemd tells them."""
    with sqlite_commands.serving("--workers", "2", KEYBEARER_SHUTDOWN_DELAY=LONG) as serving:
        for process in (serving.process.pid, *workers_of(serving)):
            os.kill(process, signal.SIGTERM)
        until(lambda: all(closing(get(serving, "/health/live")) for _ in range(8)))
        time.sleep(0.5)
        assert closing(get(serving, "/health/live"))
        assert serving.stop(signal.SIGTERM).status == 0


def workers_of(serving: Serving) -> set[int]:
    return {int(child) for child in children(serving) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def children(serving: Serving) -> set[str]:
    pid = serving.process.pid
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes the limits of another process")
def test_it_ends_in_order_without_room_for_another_open_file(sqlite_commands: Commands) -> None:
    """As in a flood of connections."""
    with sqlite_commands.serving() as serving, ExitStack() as callers:
        address = urlsplit(serving.url)
        for _ in range(10):
            callers.enter_context(socket.create_connection((str(address.hostname), address.port or 0), timeout=WITHIN))
        get(serving, "/health/live")  # comes after the others
        no_more = min({*range(4096)} - open_files(serving))
        resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (no_more, no_more))
        ended = serving.stop(signal.SIGTERM)
    assert ended.status == 0 and "Traceback" not in ended.err


def open_files(serving: Serving) -> set[int]:
    return {int(file.name) for file in Path(f"/proc/{serving.process.pid}/fd").iterdir()}
