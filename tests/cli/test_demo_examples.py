"""`keybearer demo --examples`, as `make demo` runs it: the notes service, the page, and what is left out."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from keybearer.server.cli.demo_page import served
from keybearer.server.cli.demo_service import Home, _stop_left_behind
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STAYS = "Ctrl-C ends it."
WITHIN = 120.0

needs_node = pytest.mark.skipif(
    shutil.which("npm") is None or not (ROOT / "node_modules" / "vite").is_dir(), reason="needs Node"
)


@dataclass(frozen=True, slots=True)
class Started:
    """A demo, and where its parts are."""

    process: subprocess.Popen[str]
    notes: str
    page: str

    def read_until(self, text: str) -> str:
        """What it prints, up to the line with the text."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if text in line:
                return "".join(lines)
        pytest.fail(f"the demo ended without {text!r}:\n{''.join(lines)}")

    def end(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=WITHIN)


Start = Callable[..., Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts demos in one directory; what is left of them in the end is killed."""
    home = tmp_path / "demo"
    started: list[subprocess.Popen[str]] = []

    def start(*ports: int, **environment: str) -> Started:
        """`ports` are those of the service, of the notes and of the page."""
        port, notes_port, page_port = ports or (free_port(), free_port(), free_port())
        options = ["--port", str(port), "--notes-port", str(notes_port), "--page-port", str(page_port)]
        process = subprocess.Popen(
            [sys.executable, "-m", "keybearer", "demo", "--data-dir", str(home), "--examples", "examples", *options],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        started.append(process)
        return Started(process, f"http://127.0.0.1:{notes_port}", f"http://127.0.0.1:{page_port}")

    yield start
    for process in started:
        process.kill()
        process.communicate()
    _stop_left_behind(Home(home))


def get(url: str, **headers: str) -> httpx2.Response:
    return httpx2.get(url, headers=headers, trust_env=False)


def is_listening(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


def test_without_node_the_page_is_left_out(start: Start, tmp_path: Path) -> None:
    demo = start(PATH=str(tmp_path))
    assert "The page is left out. It needs Node 20.19 or newer" in demo.read_until(STAYS)
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "api-key,authorization"}
    answer = httpx2.options(f"{demo.notes}/notes", headers={"Origin": demo.page, **preflight}, trust_env=False)
    assert answer.headers["access-control-allow-origin"] == demo.page
    assert get(f"{demo.notes}/notes").status_code == 403
    demo.end()
    assert demo.process.returncode == 0
    assert not is_listening(demo.notes)


def test_what_a_killed_demo_leaves_behind_is_stopped_by_the_next(start: Start, tmp_path: Path) -> None:
    killed = start(PATH=str(tmp_path))
    killed.read_until(STAYS)
    killed.end(signal.SIGKILL)
    assert is_listening(killed.notes)
    start().read_until("The service is ready")
    assert not is_listening(killed.notes)


def test_ports_that_are_in_use(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        demo = start(free_port(), one.getsockname()[1], other.getsockname()[1])
        output = demo.read_until(STAYS)
    assert "The notes service is left out. " in output
    assert "another port with --notes-port" in output
    assert "The page is left out. " in output
    assert "another port with --page-port" in output
    demo.end()
    assert demo.process.returncode == 0


@needs_node
def test_the_page_is_built_once(start: Start) -> None:
    ports = free_port(), free_port(), free_port()
    first = start(*ports)
    assert "Building the page." in first.read_until(STAYS)
    page = get(f"{first.page}/sessions").text
    first.end()
    again = start(*ports)
    output = again.read_until(STAYS)
    assert "Building" not in output
    assert again.page in output
    assert get(again.page).text == page
    again.end()


def test_what_the_page_is_served_with(tmp_path: Path) -> None:
    directory, port = tmp_path / "page", free_port()
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_text("the page")
    (directory / "assets" / "page.js").write_text("1")
    (tmp_path / "secret.txt").write_text("not the page's")
    url = f"http://127.0.0.1:{port}"
    with served(directory, port, ["https://auth.example.com/v1/api"]):
        for path in ("/", "/login?returnTo=%2Fnotes", "/assets", "/assets/"):
            answer = get(url + path)
            assert (answer.status_code, answer.text) == (200, "the page")
            assert "connect-src https://auth.example.com;" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-cache"
        script = get(f"{url}/assets/page.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert get(f"{url}/assets/page.js", **{"If-Modified-Since": script.headers["last-modified"]}).status_code == 304
        for path in ("/assets/gone.js", "/../secret.txt", "/%2e%2e/secret.txt"):
            assert get(url + path).status_code == 404
    assert not is_listening(url)
