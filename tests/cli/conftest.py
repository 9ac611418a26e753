from pathlib import Path

import pytest

from tests.cli.commands import KEY_ENCRYPTION_KEY, PASSWORD, Commands
from tests.support.databases import Databases


@pytest.fixture
def sqlite_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands with no settings at all, in a directory without a database."""
    monkeypatch.chdir(tmp_path)
    return Commands(tmp_path)


@pytest.fixture
def commands(databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands on a migrated database, on each backend in turn."""
    monkeypatch.chdir(tmp_path)
    settings = {"KEYBEARER_DATABASE": databases.new().url, "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY}
    return Commands(tmp_path, settings)


@pytest.fixture
def jane(commands: Commands) -> str:
    """The id of a user."""
    words = ("users", "create", "Jane@Example.com", "--first-name", "Jane", "--last-name", "Doe")
    user = commands.json(*words, "--phone", "+41 44 668 18 00", "--password-stdin", stdin=PASSWORD + "\n")
    return str(user["id"])
