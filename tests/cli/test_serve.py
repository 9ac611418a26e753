"""Starts that must fail, each with one line that says what to do and without a traceback; and what is warned of."""

import signal
import socket
from collections.abc import Iterator

import pytest

from tests.cli.commands import KEY_ENCRYPTION_KEY, Commands, Ended
from tests.support.databases import Databases


def refused(ended: Ended, status: int, said: str) -> None:
    assert ended.status == status, ended.err
    assert ended.out == ""
    [line] = ended.err.splitlines()
    assert line.startswith("keybearer: ") and said in line


@pytest.fixture
def taken() -> Iterator[str]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.mark.postgres
def test_tables_of_a_server_must_be_migrated(sqlite_commands: Commands, postgres_databases: Databases) -> None:
    settings = {"KEYBEARER_DATABASE": postgres_databases.empty(), "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY}
    refused(sqlite_commands.run("serve", **settings), 1, "keybearer migrate")
    refused(sqlite_commands.run("users", "list", **settings), 1, "keybearer migrate")
    postgres_databases.release()


@pytest.mark.postgres
def test_a_server_needs_a_key_encryption_key(sqlite_commands: Commands, postgres_databases: Databases) -> None:
    settings = {"KEYBEARER_DATABASE": postgres_databases.new().url}
    refused(sqlite_commands.run("serve", **settings), 2, "KEYBEARER_KEY_ENCRYPTION_KEY")
    postgres_databases.release()


def test_a_database_out_of_reach(sqlite_commands: Commands) -> None:
    ended = sqlite_commands.spawn("serve", "--database", "postgresql://u:geheim@127.0.0.1:1/name")
    refused(ended, 1, "cannot be reached")
    assert "geheim" not in ended.err


def test_a_database_file_that_is_none(sqlite_commands: Commands) -> None:
    (sqlite_commands.directory / "keybearer.db").write_bytes(b"no database, and long enough to be looked at" * 100)
    refused(sqlite_commands.run("serve"), 1, "database")


def test_another_key_encryption_key(commands: Commands) -> None:
    commands.json("signing-keys", "rotate")
    ended = commands.run("serve", KEYBEARER_KEY_ENCRYPTION_KEY="A" * 43)
    refused(ended, 1, "not the one with which it was sealed")


def test_a_key_file_that_is_open_to_others(sqlite_commands: Commands) -> None:
    sqlite_commands.json("signing-keys", "rotate")
    file = sqlite_commands.directory / "keybearer.db.key"
    file.chmod(0o644)
    refused(sqlite_commands.run("serve"), 1, "chmod 600")


def test_settings_are_checked_first(sqlite_commands: Commands) -> None:
    refused(sqlite_commands.run("serve", KEYBEARER_PROT="8100"), 2, "KEYBEARER_PROT is not a setting")
    refused(sqlite_commands.run("serve", "--workers", "0"), 2, "KEYBEARER_WORKERS takes")
    refused(sqlite_commands.run("serve", "--host", "192.0.2.1"), 2, "KEYBEARER_ISSUER is required")
    refused(sqlite_commands.run("serve", "--base-path", "v1"), 2, "KEYBEARER_BASE_PATH takes")
    assert list(sqlite_commands.directory.iterdir()) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(sqlite_commands: Commands, taken: str, workers: str) -> None:
    ended = sqlite_commands.spawn("serve", "--port", taken, "--workers", workers)
    assert ended.status == 1
    assert "ddress already in use" in ended.err and "Traceback" not in ended.err


def test_a_port_of_the_metrics_that_is_taken(sqlite_commands: Commands, taken: str) -> None:
    refused(sqlite_commands.spawn("serve", KEYBEARER_METRICS_PORT=taken), 2, "KEYBEARER_METRICS_PORT")


def test_warnings_are_logged_at_start(sqlite_commands: Commands) -> None:
    with sqlite_commands.serving(KEYBEARER_REFRESH_RETRY_WINDOW="0", KEYBEARER_LOG_FORMAT="json") as serving:
        ended = serving.stop(signal.SIGTERM)
    first = ended.err.splitlines()[0]
    assert "KEYBEARER_REFRESH_RETRY_WINDOW is 0" in first and '"level": "warning"' in first


def test_the_files_of_an_embedded_database_are_their_owners(sqlite_commands: Commands) -> None:
    with sqlite_commands.serving() as serving:
        files = {file.name: file.stat().st_mode & 0o777 for file in sqlite_commands.directory.iterdir()}
        serving.stop(signal.SIGTERM)
    assert {"keybearer.db", "keybearer.db.key"} <= set(files)
    assert set(files.values()) == {0o600}
