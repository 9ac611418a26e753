"""The plugin that looks through a test run: one that leaves a credential behind fails, one that leaves none passes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ISSUED = """
from uuid import UUID
from keybearer.server.flows import issue
from tests.support.databases import SqliteDatabases

def token() -> str:
    return issue.make_refresh_token(bytes(32), key_id=1, session_id=UUID(int=1), place=1, moved_at=1, nonce=bytes(16))
"""

CLEAN = """
def test_clean(tmp_path):
    databases = SqliteDatabases(tmp_path)
    databases.new()
    print(token()[:30])
    databases.release()
"""

PRINTED = """
def test_printed():
    print(token())
"""

STORED = """
def test_stored(tmp_path):
    databases = SqliteDatabases(tmp_path)
    with open(databases.new().url.removeprefix("sqlite:///"), "ab") as file:
        file.write(token().encode().hex().encode())
    databases.release()
"""


def run(directory: Path, body: str) -> "subprocess.CompletedProcess[str]":
    file = directory / "test_planted.py"
    file.write_text(ISSUED + body, encoding="utf-8")
    words = ["-m", "pytest", "-q", "-p", "tests.support.scanned_run", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    words += ["-c", str(ROOT / "pyproject.toml"), f"--basetemp={directory / 'base'}", str(file)]
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("body", "form"), [(PRINTED, "refresh token, as it is"), (STORED, "refresh token, hex")])
def test_a_credential_that_a_test_leaves_fails_it(tmp_path: Path, body: str, form: str) -> None:
    ended = run(tmp_path, body)
    assert ended.returncode == 1
    assert "credentials were left behind" in ended.stdout and form in ended.stdout


def test_a_run_that_leaves_none_passes(tmp_path: Path) -> None:
    ended = run(tmp_path, CLEAN)
    assert ended.returncode == 0, ended.stdout
