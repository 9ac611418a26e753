"""A backup of a service at work, and the way back: what was issued or revoked in the time that is lost is not accepted
again. On each backend in turn, by the ways that docs/operations.md describes."""

import os
import signal
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest

from keybearer.errors import KeybearerError
from keybearer.guard import Credentials, Guard, Limits
from keybearer.server.storage import schema
from tests.cli.commands import KEY_ENCRYPTION_KEY, PASSWORD, WITHIN, Commands, Ended, Serving
from tests.support.databases import Databases
from tests.support.ports import free_port
from tests.support.postgres import COPIED, PROGRAMS, TemporaryServer
from tests.support.secret_scan import Credential, Scanner

QUICK = Limits(longest_pause=0.2, refused_pause=0.2)


def refused(ended: Ended, said: str, status: int = 1) -> None:
    assert ended.status == status, ended
    assert ended.out == ""
    assert said in ended.err and "Traceback" not in ended.err


# --- the ways -------------------------------------------------------------------------------------------------------


class Way(Protocol):
    """How a backend is backed up and restored. `commands` are for its database, and then for the restored one."""

    commands: Commands

    def back_up(self) -> bytes:
        """Make the backup: all of it, in clear."""

    def restore(self, *options: str) -> Any:
        """With the service stopped: what the command said."""


@dataclass
class SqliteWay:
    commands: Commands

    def back_up(self) -> bytes:
        self.commands.json("backup", "backup.db")
        return (self.commands.directory / "backup.db").read_bytes()

    def restore(self, *options: str) -> Any:
        return self.commands.json("restore", "backup.db", *options)


@dataclass
class PostgresWay:
    commands: Commands
    empty: Callable[[], str]

    def back_up(self) -> bytes:
        url = self.commands.settings["KEYBEARER_DATABASE"]
        self._run("pg_dump", "--format=custom", "--file=backup.dump", f"--dbname={url}")
        return self._run("pg_restore", "--file=-", "backup.dump")

    def restore(self, *options: str) -> Any:
        url = self.empty()
        self._run("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={url}", "backup.dump")
        self.commands.settings["KEYBEARER_DATABASE"] = url
        self.commands.json("migrate")
        return self.commands.json("after-restore", *options)

    def _run(self, program: str, *options: str) -> bytes:
        command = [str(PROGRAMS / program), *options]
        return subprocess.run(command, cwd=self.commands.directory, check=True, capture_output=True).stdout


@pytest.fixture
def way(databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Way:
    monkeypatch.chdir(tmp_path)
    settings = {"KEYBEARER_DATABASE": databases.empty(), "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY}
    commands = Commands(tmp_path, settings)
    commands.json("migrate")
    return SqliteWay(commands) if databases.name == "sqlite" else PostgresWay(commands, databases.empty)


# --- the people -----------------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """An application with a user and a guard; `serving` is the service that is asked, at the same address each time."""

    commands: Commands
    port: int = field(default_factory=free_port)
    key: str = field(init=False)
    guard_key: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.commands.json("applications", "create", "Shop")["api_key"]
        self.guard_key = self.commands.json("keys", "create", "Shop", "--permission", "guard")["api_key"]
        names = ("--first-name", "Jane", "--last-name", "Doe", "--password-stdin")
        self.commands.json("users", "create", "jane@example.com", *names, stdin=f"{PASSWORD}\n")

    def serving(self, **settings: str) -> AbstractContextManager[Serving]:
        return self.commands.serving(port=self.port, **settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/api"

    def post(self, path: str, document: dict[str, str], **headers: str) -> httpx2.Response:
        headers = {"Api-Key": self.key, **headers}
        return httpx2.post(f"{self.url}/oauth/{path}", json=document, headers=headers, trust_env=False)

    def log_in(self) -> dict[str, Any]:
        answer = self.post("token", {"username": "jane@example.com", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        session: dict[str, Any] = answer.json()["data"]["attributes"]
        return session

    def refresh(self, session: dict[str, Any]) -> str | None:
        """The code of the error, or None; the session's tokens are then the new ones."""
        answer = self.post("token/refresh", {"refresh_token": session["refreshToken"]})
        if answer.status_code != 200:
            return code_of(answer)
        session.update(answer.json()["data"]["attributes"])
        return None

    def log_out(self, session: dict[str, Any]) -> None:
        answer = self.post("token/revoke", {}, Authorization=f"Bearer {session['accessToken']}")
        assert answer.status_code == 200, answer.text

    def look(self, session: dict[str, Any]) -> str | None:
        headers = {"Api-Key": self.key, "Authorization": f"Bearer {session['accessToken']}"}
        answer = httpx2.get(f"{self.url}/oauth/token/info", headers=headers, trust_env=False)
        return None if answer.status_code == 200 else code_of(answer)

    @contextmanager
    def guard(self) -> Iterator[Guard]:
        with Guard(self.url, self.guard_key, limits=QUICK) as guard:
            yield guard

    def ask(self, guard: Guard, session: dict[str, Any]) -> str | None:
        """What a service with a guard says about the access token: the code of the error, or None."""
        try:
            guard.verify(Credentials(self.key, f"Bearer {session['accessToken']}"))
        except KeybearerError as error:
            return error.code
        return None


def code_of(answer: httpx2.Response) -> str:
    [error] = answer.json()["errors"]
    assert isinstance(error["code"], str)
    return error["code"]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stop(serving: Serving) -> None:
    assert serving.stop(signal.SIGTERM).status == 0


# --- stories --------------------------------------------------------------------------------------------------------


def test_after_a_restore_nothing_that_was_issued_before_is_accepted(way: Way) -> None:
    shop = Shop(way.commands)
    with shop.serving() as serving:
        revoked, alive = shop.log_in(), shop.log_in()
        way.back_up()
        shop.log_out(revoked)
        shop.refresh(alive)
        younger = shop.log_in()
        sessions = (revoked, alive, younger)
        with shop.guard() as guard:
            assert [shop.ask(guard, each) for each in sessions] == ["access_token_revoked", None, None]
            stop(serving)
            said = way.restore()
            assert said["sessions_ended"] == 2
            with shop.serving() as again:
                eventually(lambda: guard.metrics.snapshots == 2)
                assert [shop.look(each) for each in sessions] == ["access_token_invalid"] * 3
                eventually(lambda: [shop.ask(guard, each) for each in sessions] == ["access_token_invalid"] * 3)
                assert [shop.refresh(each) for each in sessions] == ["refresh_token_invalid"] * 3
                fresh = shop.log_in()
                assert shop.look(fresh) is None
                eventually(lambda: shop.ask(guard, fresh) is None)
                assert guard.metrics.snapshots == 2
                stop(again)
    trail = way.commands.json("audit", "list")
    [begun] = [event for event in trail if event["kind"] == "epoch_begun"]
    assert begun["detail"]["epoch"] == said["epoch"] != begun["detail"]["before"]
    assert begun["actor"] == "operator"


def test_after_a_restore_that_keeps_sessions_their_owners_refresh(way: Way) -> None:
    shop = Shop(way.commands)
    with shop.serving() as serving:
        revoked, alive, moved = shop.log_in(), shop.log_in(), shop.log_in()
        way.back_up()
        shop.log_out(revoked)
        assert shop.refresh(moved) is None
        younger = shop.log_in()
        with shop.guard() as guard:
            stop(serving)
            assert way.restore("--keep-sessions")["sessions_ended"] == 0
            with shop.serving() as again:
                eventually(lambda: guard.metrics.snapshots == 2)
                assert [shop.ask(guard, each) for each in (alive, moved)] == [None, None]
                assert [shop.refresh(each) for each in (alive, moved)] == [None, None]
                assert [shop.ask(guard, each) for each in (alive, moved)] == [None, None]
                # What --keep-sessions says of itself: the log-out is forgotten, and so is the login.
                assert shop.ask(guard, revoked) is None and shop.refresh(revoked) is None
                assert shop.refresh(younger) == "refresh_token_invalid"
                stop(again)
    kinds = [event["kind"] for event in way.commands.json("audit", "list")]
    assert kinds.count("state_regressed") == 1


def test_an_epoch_begins_while_the_service_runs(way: Way) -> None:
    """As after a failover: processes and guards take everything anew, and nobody is logged out."""
    shop = Shop(way.commands)
    with shop.serving() as serving, shop.guard() as guard:
        session = shop.log_in()
        way.commands.json("after-restore", "--keep-sessions")
        eventually(lambda: guard.metrics.snapshots == 2)
        assert shop.refresh(session) is None
        assert shop.ask(guard, session) is None
        way.commands.json("after-restore")
        eventually(lambda: guard.metrics.snapshots == 3)
        eventually(lambda: shop.look(session) == shop.ask(guard, session) == "access_token_invalid")
        eventually(lambda: shop.ask(guard, shop.log_in()) is None)
        stop(serving)


@pytest.fixture
def server() -> Iterator[TemporaryServer]:
    server = TemporaryServer(COPIED)
    yield server
    server.close()


@pytest.mark.postgres
def test_nobody_is_logged_out_by_a_failover_that_lost_commits(
    server: TemporaryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"KEYBEARER_DATABASE": server.url(), "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY}
    commands = Commands(tmp_path, settings)
    commands.json("migrate")
    shop = Shop(commands)
    with shop.serving() as serving:
        alive, moved, ending = shop.log_in(), shop.log_in(), shop.log_in()
        with shop.guard() as guard:
            server.copy()
            assert shop.refresh(moved) is None
            server.go_back()
            commands.json("after-restore", "--keep-sessions")
            eventually(lambda: guard.metrics.snapshots == 2)
            eventually(lambda: [shop.refresh(each) for each in (alive, moved)] == [None, None])
            eventually(lambda: [shop.ask(guard, each) for each in (alive, moved, ending)] == [None] * 3)
            shop.log_out(ending)
            eventually(lambda: shop.ask(guard, ending) == "access_token_revoked")
            assert guard.metrics.snapshots == 2
        stop(serving)
    assert [event["kind"] for event in commands.json("audit", "list")].count("state_regressed") == 1


def test_no_credential_is_in_a_backup(way: Way) -> None:
    shop = Shop(way.commands)
    with shop.serving() as serving:
        session, refreshed = shop.log_in(), shop.log_in()
        shop.refresh(refreshed)
        backup = way.back_up()
        stop(serving)
    secrets = [
        *(Credential("api key", key) for key in (shop.key, shop.guard_key)),
        *(Credential("access token", each["accessToken"]) for each in (session, refreshed)),
        *(Credential("refresh token", each["refreshToken"]) for each in (session, refreshed)),
        Credential("password", PASSWORD),
        Credential("key-encryption key", KEY_ENCRYPTION_KEY),
    ]
    assert b"jane@example.com" in backup
    assert Scanner(secrets).scan("the backup", backup) == []
    assert b"PRIVATE KEY" not in backup


# --- backups of SQLite ----------------------------------------------------------------------------------------------


@pytest.fixture
def shop(sqlite_commands: Commands) -> Shop:
    return Shop(sqlite_commands)


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def leftovers(commands: Commands) -> set[str]:
    """Files that the commands should not have left behind."""
    return {path.name for path in commands.directory.iterdir() if path.name.startswith(".")}


def test_what_a_backup_says(sqlite_commands: Commands) -> None:
    sqlite_commands.json("applications", "create", "Shop")
    said = sqlite_commands.json("backup", "backup.db")
    file = sqlite_commands.directory / "backup.db"
    assert (said["file"], said["bytes"]) == ("backup.db", file.stat().st_size)
    assert (said["revision"], said["sessions"]) == (schema.HEAD, 0)
    assert [(said["epoch"], said["position"])] == rows(file, "SELECT epoch, position FROM feed")
    assert said["last_event_at"] is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert leftovers(sqlite_commands) == set()
    printed = sqlite_commands.run("backup", "other.db")
    assert "keybearer.db.key" in printed.out and "is not in it" in printed.out and printed.err == ""


def test_a_backup_replaces_an_older_one_only_when_told(sqlite_commands: Commands) -> None:
    sqlite_commands.json("signing-keys", "rotate")
    sqlite_commands.json("backup", "backup.db")
    sqlite_commands.json("applications", "create", "Shop")
    file, key = sqlite_commands.directory / "backup.db", sqlite_commands.directory / "keybearer.db.key"
    before, sealed_with = file.read_bytes(), key.read_bytes()
    refused(sqlite_commands.run("backup", "backup.db"), "--force")
    assert file.read_bytes() == before
    for other in ("keybearer.db", "keybearer.db.key"):
        refused(sqlite_commands.run("backup", other, "--force"), "no backup")
    assert key.read_bytes() == sealed_with
    sqlite_commands.json("backup", "backup.db", "--force")
    assert rows(file, "SELECT name FROM application") == [("Shop",)]
    assert leftovers(sqlite_commands) == set()


def test_backups_that_cannot_be_made(sqlite_commands: Commands) -> None:
    refused(sqlite_commands.run("backup", "backup.db"), "nothing to back up")
    assert list(sqlite_commands.directory.iterdir()) == []
    sqlite_commands.json("applications", "create", "Shop")
    refused(sqlite_commands.run("backup", "missing/backup.db"), "No such file or directory")
    refused(sqlite_commands.run("backup", "."), "directory", 2)
    refused(sqlite_commands.run("backup"), "FILE", 2)
    database = sqlite_commands.directory / "keybearer.db"
    damage(database)
    refused(sqlite_commands.run("backup", "backup.db"), "cannot be used")
    assert not (sqlite_commands.directory / "backup.db").exists() and leftovers(sqlite_commands) == set()


def test_backups_are_for_sqlite(sqlite_commands: Commands) -> None:
    settings = {"KEYBEARER_DATABASE": "postgresql://u:geheim@127.0.0.1:1/name"}
    refused(sqlite_commands.run("backup", "backup.db", **settings), "pg_dump", 2)
    refused(sqlite_commands.run("restore", "backup.db", **settings), "after-restore", 2)


def test_backups_of_a_busy_service_are_whole(shop: Shop) -> None:
    """Each is of one moment: a refresh moves a chain and writes a line of the trail, both or neither."""
    done = threading.Event()
    outcomes: list[str | None] = []

    def refresh_on(session: dict[str, Any]) -> None:
        while not done.is_set():
            outcomes.append(shop.refresh(session))

    with shop.serving(KEYBEARER_REFRESH_RETRY_WINDOW="0") as serving:
        threads = [threading.Thread(target=refresh_on, args=(shop.log_in(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 6):
                eventually(lambda least=number * 20: len(outcomes) > least)  # type: ignore[misc]
                shop.commands.json("backup", f"{number}.db")
        finally:
            done.set()
            for thread in threads:
                thread.join()
        stop(serving)
    assert not any(outcomes)
    for number in range(1, 6):
        file = shop.commands.directory / f"{number}.db"
        assert rows(file, "PRAGMA integrity_check") == [("ok",)]
        [(moves,)] = rows(file, "SELECT sum(place) FROM session")
        assert [(moves,)] == rows(file, "SELECT count(*) FROM audit_event WHERE kind = 'refresh'")
        assert moves >= number * 20 - len(threads)


# --- restores of SQLite ---------------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    """Overwrite the middle of each page but the first."""
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 512] = b"\xa5" * 512
    path.write_bytes(content)


def test_the_old_database_is_kept(sqlite_commands: Commands) -> None:
    sqlite_commands.json("applications", "create", "Before")
    sqlite_commands.json("backup", "backup.db")
    sqlite_commands.json("applications", "create", "Since")
    said = sqlite_commands.json("restore", "backup.db")
    assert [each["name"] for each in sqlite_commands.json("applications", "list")] == ["Before"]
    assert said["database"] == str(sqlite_commands.directory / "keybearer.db")
    old = Path(said["old_database"])
    assert stat.S_IMODE(old.stat().st_mode) == 0o600 == stat.S_IMODE(Path(said["database"]).stat().st_mode)
    listed = sqlite_commands.run("--database", f"sqlite:///{old}", "audit", "list", "--json").json()
    assert [event["kind"] for event in listed[:2]] == ["api_key_created", "application_created"]
    assert leftovers(sqlite_commands) == set()
    assert sqlite_commands.json("audit", "list")[0]["kind"] == "epoch_begun"


def test_a_restore_says_what_it_did(sqlite_commands: Commands) -> None:
    sqlite_commands.json("applications", "create", "Before")
    sqlite_commands.json("backup", "backup.db")
    over = sqlite_commands.run("restore", "backup.db").out
    assert "All sessions are over" in over and "audit list" in over and "are as they were" in over
    assert "accepted again" in sqlite_commands.run("after-restore", "--keep-sessions").out


def test_where_there_is_no_database_any_more(sqlite_commands: Commands) -> None:
    """The log of the one that is gone must not be taken for the log of its successor."""
    directory = sqlite_commands.directory
    sqlite_commands.json("applications", "create", "Before")
    sqlite_commands.json("backup", "backup.db")
    with closing(sqlite3.connect(directory / "keybearer.db")) as connection:
        connection.execute("UPDATE application SET name = 'Since'")
        connection.commit()
        log = (directory / "keybearer.db-wal").read_bytes()
    (directory / "keybearer.db").unlink()
    (directory / "keybearer.db-wal").write_bytes(log)
    said = sqlite_commands.json("restore", "backup.db")
    assert said["old_database"] is None
    assert [each["name"] for each in sqlite_commands.json("applications", "list")] == ["Before"]
    [kept] = directory.glob("keybearer.db.before-*-wal")
    assert kept.read_bytes() == log


def test_a_database_that_is_damaged_beyond_opening_is_replaced(sqlite_commands: Commands) -> None:
    sqlite_commands.json("applications", "create", "Before")
    sqlite_commands.json("backup", "backup.db")
    rubbish = b"no database, and long enough to be looked at" * 1000
    (sqlite_commands.directory / "keybearer.db").write_bytes(rubbish)
    said = sqlite_commands.json("restore", "backup.db")
    assert Path(said["old_database"]).read_bytes() == rubbish
    assert [each["name"] for each in sqlite_commands.json("applications", "list")] == ["Before"]


def test_a_restore_needs_the_service_stopped(shop: Shop) -> None:
    commands = shop.commands
    commands.json("backup", "backup.db")
    with shop.serving() as serving:
        session = shop.log_in()
        refused(commands.spawn("restore", "backup.db"), "stop the service first")
        assert shop.look(session) is None
        assert list(commands.directory.glob("*before*")) == [] and leftovers(commands) == set()
        stop(serving)
    assert len(commands.json("sessions", "list")) == 1
    commands.json("restore", "backup.db")


def other_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE session (id)")


def newer_release(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def missing_reference(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM application")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "cannot be used"),
        (lambda path: path.write_bytes(b""), "no backup of Keybearer"),
        (lambda path: path.write_bytes(b"no database, and long enough to be looked at" * 1000), "cannot be used"),
        (lambda path: os.truncate(path, path.stat().st_size - 8192), ""),
        (damage, ""),
        (missing_reference, "damaged"),
        (other_database, "no backup of Keybearer"),
        (newer_release, "newer release"),
    ],
    ids=["missing", "empty", "rubbish", "cut off", "damaged", "missing reference", "another program's", "newer"],
)
def test_what_is_no_whole_backup_changes_nothing(
    sqlite_commands: Commands, spoil: Callable[[Path], None], said: str
) -> None:
    sqlite_commands.json("applications", "create", "Shop")
    sqlite_commands.json("backup", "backup.db")
    spoil(sqlite_commands.directory / "backup.db")
    before = {path.name: path.read_bytes() for path in sqlite_commands.directory.iterdir()}
    refused(sqlite_commands.run("restore", "backup.db"), said)
    assert {path.name: path.read_bytes() for path in sqlite_commands.directory.iterdir()} == before


def test_a_backup_of_an_older_release_is_migrated(sqlite_commands: Commands) -> None:
    sqlite_commands.json("applications", "create", "Shop")
    schema.downgrade(f"sqlite:///{sqlite_commands.directory}/keybearer.db", schema.REVISIONS[0])
    assert sqlite_commands.json("backup", "backup.db")["revision"] == schema.REVISIONS[0]
    assert sqlite_commands.json("restore", "backup.db")["revision"] == schema.REVISIONS[0]
    assert [each["name"] for each in sqlite_commands.json("applications", "list")] == ["Shop"]
    assert sqlite_commands.json("migrate")["before"] == schema.HEAD


def test_sessions_are_kept_with_the_right_key_encryption_key_only(sqlite_commands: Commands) -> None:
    sqlite_commands.json("signing-keys", "rotate")
    sqlite_commands.json("backup", "backup.db")
    (sqlite_commands.directory / "keybearer.db.key").unlink()
    before = (sqlite_commands.directory / "keybearer.db").read_bytes()
    refused(sqlite_commands.run("restore", "backup.db", "--keep-sessions"), "not the one with which it was sealed")
    assert (sqlite_commands.directory / "keybearer.db").read_bytes() == before
    assert leftovers(sqlite_commands) == set()


def test_a_lost_key_encryption_key_is_no_hindrance_to_starting_over(shop: Shop) -> None:
    commands = shop.commands
    with shop.serving() as serving:
        shop.log_in()
        stop(serving)
    commands.json("backup", "backup.db")
    (commands.directory / "keybearer.db.key").unlink()
    commands.json("restore", "backup.db")
    with shop.serving() as again:
        assert shop.look(shop.log_in()) is None
        stop(again)


def test_the_restored_database_belongs_to_whom_the_old_one_did(sqlite_commands: Commands) -> None:
    sqlite_commands.json("applications", "create", "Shop")
    sqlite_commands.json("backup", "backup.db")
    database = sqlite_commands.directory / "keybearer.db"
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    os.chown(database, owner, -1)
    sqlite_commands.json("restore", "backup.db")
    assert database.stat().st_uid == owner


def test_a_link_to_the_database_stays_one(sqlite_commands: Commands) -> None:
    directory = sqlite_commands.directory
    (directory / "disk").mkdir()
    (directory / "keybearer.db").symlink_to("disk/real.db")
    sqlite_commands.json("applications", "create", "Shop")
    sqlite_commands.json("backup", "backup.db")
    said = sqlite_commands.json("restore", "backup.db")
    assert said["database"] == str(directory / "disk" / "real.db")
    assert (directory / "keybearer.db").is_symlink()
    assert [each["name"] for each in sqlite_commands.json("applications", "list")] == ["Shop"]


# --- after a restore by other means ---------------------------------------------------------------------------------


def test_after_a_restore_of_a_new_installation(commands: Commands) -> None:
    first = commands.json("after-restore")
    assert (first["sessions_ended"], len(commands.json("signing-keys", "list"))) == (0, 2)
    second = commands.json("after-restore", "--keep-sessions")
    assert second["epoch"] != first["epoch"]
    assert [event["kind"] for event in commands.json("audit", "list")].count("epoch_begun") == 2


def test_after_a_restore_with_another_key_encryption_key(commands: Commands) -> None:
    commands.json("signing-keys", "rotate")
    other = {"KEYBEARER_KEY_ENCRYPTION_KEY": "A" * 43}
    refused(commands.run("after-restore", "--keep-sessions", **other), "not the one with which it was sealed")
    assert len(commands.json("signing-keys", "list")) == 3
    assert commands.run("after-restore", **other).status == 0
    assert {key["state"] for key in commands.json("signing-keys", "list")} == {"active"}


@pytest.mark.postgres
def test_tables_that_were_restored_may_have_to_be_migrated(
    sqlite_commands: Commands, postgres_databases: Databases
) -> None:
    settings = {"KEYBEARER_DATABASE": postgres_databases.empty(), "KEYBEARER_KEY_ENCRYPTION_KEY": KEY_ENCRYPTION_KEY}
    refused(sqlite_commands.run("after-restore", **settings), "keybearer migrate")
    postgres_databases.release()
