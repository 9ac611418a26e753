"""`keybearer demo`, run as `make demo` runs it: again, after a crash, and with what it prints pasted into a shell."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keybearer.server.cli.demo_service import Home, _stop_left_behind
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

COMPLETE = "The tour is complete: 13 steps, all as expected."
TOKEN = re.compile(r"(eyJ|kbr_)[A-Za-z0-9._-]{6,}")
"""More of an access token or a refresh token than may be shown."""

STAYS = "Ctrl-C ends it."

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "the demo"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(home: Path, port: int) -> Iterator[Start]:
    """Starts demos; what is left of them in the end is killed, their services too."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "keybearer", "demo", "--data-dir", str(home), "--port", str(port), *options]
        process = subprocess.Popen(
            command,
            env={**os.environ, "KEYBEARER_PORT": "1", "KEYBEARER_NONSENSE": "x", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    _stop_left_behind(Home(home))  # makes sure that the process is the demo's: numbers are used again


def end_of(process: subprocess.Popen[str]) -> str:
    """What it prints until it ends."""
    return process.communicate(timeout=300)[0]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints, up to the line with the text."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    pytest.fail(f"the demo ended without {text!r}:\n{''.join(lines)}")


def state_of(home: Path) -> dict[str, str]:
    state: dict[str, str] = json.loads((home / "demo.json").read_text())
    return state


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_second_start_finds_what_the_first_one_made(start: Start, home: Path, port: int) -> None:
    first = start("--once")
    output = end_of(first)
    assert first.returncode == 0, output
    state = state_of(home)
    second = start(DEMO_ONCE="1")
    output += end_of(second)
    assert second.returncode == 0, output

    assert output.count(COMPLETE) == 2
    assert state_of(home) == state
    assert all(state.values())
    assert state["publishable_key"].startswith("kbp_")
    assert state["secret_key"].startswith("kbs_")
    for value in state.values():
        assert output.count(value) >= 2
    for address in ("/v1/api/oauth/token", "/.well-known/jwks.json", "/openapi.json", "/health/ready"):
        assert f"http://127.0.0.1:{port}{address}" in output

    log = (home / "service.log").read_text()
    assert TOKEN.search(output + log) is None
    for name in ("publishable_key", "secret_key", "password"):
        assert state[name] not in log
    for name in ("demo.json", "service.log", "keybearer.db"):
        assert (home / name).stat().st_mode & 0o077 == 0, name
    assert not is_listening(port)
    assert not (home / "service.pid").exists()


def test_the_lines_that_it_prints_can_be_pasted(start: Start, port: int, tmp_path: Path) -> None:
    process = start()
    output = read_until(process, STAYS)
    another = start("--once")
    assert "already running" in end_of(another)
    assert another.returncode == 1

    answers = [json.loads(line) for line in paste(output, tmp_path)]
    info, refreshed, revoked, refused = answers
    assert info["data"]["type"] == "token"
    assert refreshed["data"]["attributes"]["email"] == "demo@example.com"
    assert revoked["data"]["attributes"]["sessions"] == 1
    assert refused["errors"][0]["code"] == "access_token_revoked"

    process.send_signal(signal.SIGINT)
    assert "Stopping the service." in end_of(process)
    assert process.returncode == 0
    assert not is_listening(port)


def paste(output: str, tmp_path: Path) -> list[str]:
    """What the lines print in a shell, line by line."""
    lines = output[output.index("BASE=http") : output.index("The service goes on running")]
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "python3").symlink_to(sys.executable)
    if shutil.which("curl") is None:
        write_curl(directory / "curl")
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    finished = subprocess.run(
        ["sh", "-eu"],
        env={**environment, "PATH": f"{directory}:{os.environ['PATH']}"},
        input=lines,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.splitlines()


def write_curl(path: Path) -> None:
    """As much of curl as the lines use, for machines without it."""
    path.write_text(f"""#!{sys.executable}
import argparse, httpx2
parser = argparse.ArgumentParser()
parser.add_argument("-sS", action="store_true")
parser.add_argument("-X", default=None)
parser.add_argument("-H", action="append", default=[])
parser.add_argument("-d", default=None)
parser.add_argument("-w", default="")
parser.add_argument("url")
line = parser.parse_args()
headers = [tuple(header.split(": ", 1)) for header in line.H]
method = line.X or ("GET" if line.d is None else "POST")
print(httpx2.request(method, line.url, headers=headers, content=line.d).text + line.w.replace("\\\\n", "\\n"), end="")
""")
    path.chmod(0o700)


@pytest.mark.parametrize(
    "moment, forgotten", [("The data is in", False), ("The service is ready", False), (STAYS, True)]
)
def test_it_is_carried_on_after_a_crash(start: Start, home: Path, port: int, moment: str, forgotten: bool) -> None:
    """`forgotten`: killed after things were made and before they were written down."""
    killed = start()
    read_until(killed, moment)
    killed.kill()
    killed.wait()
    if forgotten:
        (home / "demo.json").unlink(missing_ok=True)
    again = start("--once")
    output = end_of(again)
    assert again.returncode == 0, output
    assert output.count(COMPLETE) == 1
    assert not is_listening(port)


def test_what_was_changed_since_is_put_right(start: Start, home: Path) -> None:
    assert COMPLETE in end_of(start("--once"))
    before = state_of(home)
    run_command(home, "users", "disable", before["username"])
    run_command(home, "users", "set-password", before["username"], "--password-stdin", stdin="another password\n")
    run_command(home, "applications", "disable", before["application_id"])
    for key in run_command(home, "keys", "list"):
        run_command(home, "keys", "revoke", key["id"])
    assert COMPLETE in end_of(start("--once"))
    after = state_of(home)
    assert after["application_id"] == before["application_id"]
    assert after["publishable_key"] != before["publishable_key"]


def run_command(home: Path, *words: str, stdin: str = "") -> Any:
    finished = subprocess.run(
        [sys.executable, "-m", "keybearer", *words, "--json"],
        env={**os.environ, "KEYBEARER_DATABASE": f"sqlite:///{home}/keybearer.db"},
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return json.loads(finished.stdout)


def test_sigterm_ends_it_too_even_before_it_is_ready(start: Start, port: int) -> None:
    process = start()
    read_until(process, "The data is in")
    process.send_signal(signal.SIGTERM)
    end_of(process)
    assert process.returncode == 130
    assert not is_listening(port)
    process = start()
    read_until(process, STAYS)
    process.send_signal(signal.SIGTERM)
    end_of(process)
    assert process.returncode == 0
    assert not is_listening(port)


def test_a_port_that_is_in_use(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        process = start("--once")
        output = end_of(process)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in output
    assert "--port" in output


def test_a_service_that_dies_shows_the_end_of_its_log(start: Start, home: Path) -> None:
    process = start()
    read_until(process, STAYS)
    os.kill(int((home / "service.pid").read_text()), signal.SIGKILL)
    output = end_of(process)
    assert process.returncode == 1
    assert "The service has ended (status -9)." in output
    assert f"The end of {home}/service.log:" in output


def test_a_directory_with_something_else_in_it(start: Start, home: Path) -> None:
    home.mkdir()
    (home / "keybearer.db").write_text("this is no database" * 100)
    (home / "demo.json").write_text('["nor is this"]')
    with subprocess.Popen(["sleep", "100"]) as bystander:
        (home / "service.pid").write_text(str(bystander.pid))
        process = start("--once")
        output = end_of(process)
        assert bystander.poll() is None
        bystander.kill()
    assert process.returncode == 1
    assert "Traceback" not in output


def test_a_service_that_will_not_start_shows_the_end_of_its_log(start: Start, home: Path) -> None:
    assert COMPLETE in end_of(start("--once"))
    (home / "keybearer.db.key").unlink()
    process = start("--once")
    output = end_of(process)
    assert process.returncode == 1
    assert "The end of" in output
