"""The pages about the Python client: their programs and commands run as they stand there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import WITHIN, Ended
from tests.cli.terminal import at_terminal
from tests.guard.integrations.pages import PAGES, blocks_of
from tests.stage.client import Stage, running_stage

COMMANDS = (PAGES / "command-line.md").read_text()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with running_stage() as stage:
        yield stage


@pytest.fixture
def environment(stage: Stage, tmp_path: Path) -> dict[str, str]:
    """What the pages take from it."""
    user = stage.users[0]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KEYBEARER_", "XDG_"))}
    return {
        **clean,
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AUTH_URL": stage.base_url,
        "API_URL": stage.api,
        "API_KEY": stage.publishable_key,
        "AUTH_USERNAME": user.username,
        "AUTH_PASSWORD": user.password,
        "PASSWORD": user.password,
    }


def run(command: list[str], directory: Path, environment: dict[str, str]) -> list[str]:
    """The lines that it prints. It warns of nothing."""
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=WITHIN, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


HTTPX_PROGRAMS = ("first.py", "tasks.py", "later.py")
REQUESTS_PROGRAMS = ("first.py", "threads.py")

PRINTED = {
    "first.py": ["Milk", "revoked"],
    "tasks.py": ["{200}", "Stage True"],
    "threads.py": ["20"],
    "later.py": ["200"],
}
"""What each of them prints, in its first lines."""


@pytest.mark.parametrize(
    ("page", "name", "library"),
    [
        *(("httpx.md", name, library) for name in HTTPX_PROGRAMS for library in ("httpx", "httpx2")),
        *(("requests.md", name, "requests") for name in REQUESTS_PROGRAMS),
    ],
)
def test_programs(page: str, name: str, library: str, tmp_path: Path, environment: dict[str, str]) -> None:
    code = blocks_of(page)[name]
    assert code.count("import httpx\n") == (page == "httpx.md")
    file = tmp_path / name
    file.write_text(code.replace("import httpx\n", f"import {library} as httpx\n"))
    for _ in range(2):  # the second time some have a session already
        lines = run([sys.executable, "-W", "error", str(file)], tmp_path, environment)
        assert lines[: len(PRINTED[name])] == PRINTED[name]


def test_every_program_is_run() -> None:
    assert tuple(blocks_of("httpx.md")) == HTTPX_PROGRAMS
    assert tuple(blocks_of("requests.md")) == REQUESTS_PROGRAMS


def of_stage(text: str, stage: Stage) -> str:
    """With the addresses and the user of the stage in the place of the page's."""
    text = text.replace("https://auth.example.com/v1/api", stage.base_url).replace("https://api.example.com", stage.api)
    return text.replace("jane@example.com", stage.users[0].username)


def blocks(language: str, stage: Stage) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", COMMANDS, re.MULTILINE | re.DOTALL)
    return [of_stage(block, stage) for block in found]


def log_in_as_shown(stage: Stage, directory: Path, environment: dict[str, str]) -> Ended:
    """The page shows what is asked; what is not shown is typed by who reads it."""
    [block] = blocks("console", stage)
    command, *questions = block.splitlines()
    secrets = {"Api-Key": stage.publishable_key, "Password": stage.users[0].password}
    asked = [question.partition(": ") for question in questions]
    words = command.removeprefix("$ keybearer ").split()
    return at_terminal(words, [answer or secrets[label] for label, _, answer in asked], directory, environment)


def test_commands(stage: Stage, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "api-key").write_text(stage.publishable_key)
    ended = log_in_as_shown(stage, tmp_path, environment)
    assert ended.status == 0, ended.err
    [console] = blocks("console", stage)
    assert ended.err.split() == console.split()[7:]
    first, scripts, profiles = blocks("sh", stage)
    shown = run(["bash", "-euo", "pipefail", "-c", first], tmp_path, environment)
    assert f"email         {stage.users[0].username}" in shown
    assert '"text":"Milk"' in shown[-1]
    shown = run(["bash", "-euo", "pipefail", "-c", scripts], tmp_path, environment)
    assert "refused" not in shown and json.loads((tmp_path / "notes.json").read_text())
    assert json.loads(shown[-1]) == {"profile": "default", "session": "revoked"}
    shown = run(["bash", "-euo", "pipefail", "-c", profiles], tmp_path, environment)
    assert '"profile": "ci"' in "".join(shown)
