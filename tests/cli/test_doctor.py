"""What `keybearer doctor` finds, and what it says to do about it."""

import json
from typing import Any

import pytest

from keybearer.base64url import decode_base64url
from tests.cli.commands import KEY_ENCRYPTION_KEY, Commands
from tests.support.databases import Databases


def examine(commands: Commands, **settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by what was looked at (the last of each)."""
    ended = commands.run("doctor", "--json", **settings)
    assert ended.err == ""
    findings = json.loads(ended.out)
    assert all(finding["todo"] for finding in findings if finding["verdict"] != "ok")
    return ended.status, {finding["check"]: finding for finding in findings}


def test_all_is_well(commands: Commands) -> None:
    commands.json("signing-keys", "rotate")
    status, findings = examine(commands)
    assert status == 0
    assert {finding["verdict"] for finding in findings.values()} <= {"ok", "warn"}
    for check in ("settings", "key-encryption key", "database", "clock", "stored keys"):
        assert findings[check]["verdict"] == "ok", findings[check]
    printed = commands.run("doctor").out
    assert all(line.startswith(("ok ", "warn ", "     ")) for line in printed.splitlines())


def test_it_makes_nothing(sqlite_commands: Commands) -> None:
    status, findings = examine(sqlite_commands)
    assert status == 0 and findings["database"]["verdict"] == "warn"
    assert "keybearer migrate" in findings["database"]["todo"]
    assert list(sqlite_commands.directory.iterdir()) == []


def test_wrong_settings_end_it(sqlite_commands: Commands) -> None:
    status, findings = examine(sqlite_commands, KEYBEARER_PROT="1")
    assert status == 1 and list(findings) == ["settings"]
    assert "KEYBEARER_PROT" in findings["settings"]["says"]


def test_warnings_of_the_settings(sqlite_commands: Commands) -> None:
    status, findings = examine(sqlite_commands, KEYBEARER_ISSUER="http://auth.example.com")
    assert status == 0 and findings["settings"]["verdict"] == "warn"
    assert "https" in findings["settings"]["says"]


def test_a_database_out_of_reach(sqlite_commands: Commands) -> None:
    url = "postgresql://u:geheim@127.0.0.1:1/name"
    settings = {"KEYBEARER_DATABASE": url, "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY}
    status, findings = examine(sqlite_commands, **settings)
    assert status == 1 and findings["database"]["verdict"] == "fail"
    printed = sqlite_commands.run("doctor", **settings).out
    assert "geheim" not in printed and KEY_ENCRYPTION_KEY not in printed


@pytest.mark.postgres
def test_a_server_that_is_not_migrated(sqlite_commands: Commands, postgres_databases: Databases) -> None:
    settings = {"KEYBEARER_DATABASE": postgres_databases.empty(), "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY}
    status, findings = examine(sqlite_commands, **settings)
    assert status == 1 and "keybearer migrate" in findings["database"]["todo"]
    postgres_databases.release()


def test_a_server_without_a_key_gets_a_fresh_one_to_copy(sqlite_commands: Commands) -> None:
    settings = {"KEYBEARER_DATABASE": "postgresql://u@127.0.0.1:1/name"}
    fresh = set()
    for _ in range(2):
        status, findings = examine(sqlite_commands, **settings)
        assert status == 1 and findings["key-encryption key"]["verdict"] == "fail"
        fresh.add(findings["key-encryption key"]["todo"].split()[-1])
    assert len(fresh) == 2
    assert all(len(decode_base64url(key) or b"") == 32 for key in fresh)


def test_another_key_encryption_key(commands: Commands) -> None:
    commands.json("signing-keys", "rotate")
    status, findings = examine(commands, KEYBEARER_KEY_ENCRYPTION_KEY="A" * 43)
    assert status == 1 and findings["stored keys"]["verdict"] == "fail"


def test_files_that_are_open_to_others(sqlite_commands: Commands) -> None:
    sqlite_commands.json("signing-keys", "rotate")
    (sqlite_commands.directory / "keybearer.db").chmod(0o644)
    status, findings = examine(sqlite_commands)
    assert status == 0 and findings["database file"]["verdict"] == "warn"
    (sqlite_commands.directory / "keybearer.db.key").chmod(0o640)
    status, findings = examine(sqlite_commands)
    assert status == 1 and findings["key-encryption key"]["verdict"] == "fail"
    assert "chmod 600" in findings["key-encryption key"]["says"] + findings["key-encryption key"]["todo"]


def test_the_key_file_is_gone(sqlite_commands: Commands) -> None:
    sqlite_commands.json("signing-keys", "rotate")
    (sqlite_commands.directory / "keybearer.db.key").unlink()
    status, findings = examine(sqlite_commands)
    assert status == 1 and findings["stored keys"]["verdict"] == "fail"
    assert not (sqlite_commands.directory / "keybearer.db.key").exists(), "a new one would hide the loss"


def test_another_algorithm_than_the_active_key_has(commands: Commands) -> None:
    commands.json("signing-keys", "rotate", "--now")
    status, findings = examine(commands, KEYBEARER_SIGNING_ALGORITHM="EdDSA")
    assert status == 0 and "signing-keys rotate" in findings["rotation"]["todo"]
