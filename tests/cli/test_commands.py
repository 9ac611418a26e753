"""Every command on every backend: what it does, what it prints for programs and for people, what it refuses."""

import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from keybearer.cli import importing
from keybearer.server.cli.main import app
from tests.cli.commands import PASSWORD, WITHIN, Commands, Ended

NOBODY = "01a20e1d-0000-7000-8000-000000000000"
BCRYPT = "$2b$12$abcdefghijklmnopqrstuuG0H4lCNlpTUe5AcNvaWFYTBVPByyKAy"


def refused(ended: Ended, said: str, status: int = 1) -> None:
    """It ended with one line on stderr that says what is wrong."""
    assert ended.status == status, ended
    assert ended.out == ""
    assert said in ended.err and "Traceback" not in ended.err


def kinds(commands: Commands) -> list[str]:
    """What the audit trail has, the oldest first."""
    return [event["kind"] for event in reversed(commands.json("audit", "list"))]


# --- applications and keys -------------------------------------------------------------------------------------------


def test_a_browser_application(commands: Commands) -> None:
    made = commands.json(
        *("applications", "create", " Web shop "),
        *("--origin", "HTTPS://Shop.Example.com:443/", "--origin", "http://localhost:5173"),
        *("--access-token-lifetime", "5m", "--session-idle-lifetime", "3600", "--session-absolute-lifetime", "30d"),
    )
    assert made["api_key"].startswith("kbp_") and len(made["api_key"]) == 53
    assert made["name"] == "Web shop" and made["kind"] == "browser" and made["state"] == "enabled"
    assert made["origins"] == ["https://shop.example.com", "http://localhost:5173"]
    lifetimes = (made["access_token_lifetime"], made["session_idle_lifetime"], made["session_absolute_lifetime"])
    assert lifetimes == (300, 3600, 30 * 86400)
    for named in ("Web shop", made["id"]):
        shown = commands.json("applications", "show", named)
        assert shown["id"] == made["id"] and "api_key" not in shown
    [key] = commands.json("keys", "list", "Web shop")
    assert key["id"] == made["key"] and key["kind"] == "publishable" and made["api_key"].startswith(key["hint"])
    assert made["api_key"] not in commands.run("keys", "list").out + commands.run("audit", "list").out
    assert kinds(commands) == ["application_created", "api_key_created"]


def test_a_service(commands: Commands) -> None:
    made = commands.json("applications", "create", "Billing", "--kind", "service")
    assert made["api_key"].startswith("kbs_") and made["origins"] == []


def test_a_key_is_told_to_people_once(commands: Commands) -> None:
    printed = commands.run("applications", "create", "Shop").out
    assert "kbp_" in printed and "shown this once" in printed and "--origin" in printed


@pytest.mark.parametrize(
    "origin",
    [
        "shop.example.com", "https://", "https://*.example.com", "https://shop.example.com/path", "null", "*", "",
        "https://user@shop.example.com", "https://shop.example.com?x", "https://shop.example.com:0", "ftp://shop.example",
        "https://shop.example.com:99999999", "https://münchen.example", "https://a b.example", "file:///etc/passwd",
        "http://shop.example.com", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://10.0.0.1",
    ],
)  # fmt: skip
def test_what_is_no_origin(sqlite_commands: Commands, origin: str) -> None:
    refused(sqlite_commands.run("applications", "create", "Shop", "--origin", origin), "origin")
    assert sqlite_commands.json("applications", "list") == []


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:3000", "http://[::1]:3000", "http://app.localhost", "https://xn--mnchen-3ya.example"]
)
def test_origins_that_are_taken_as_they_are(sqlite_commands: Commands, origin: str) -> None:
    assert sqlite_commands.json("applications", "create", "Shop", "--origin", origin)["origins"] == [origin]


def test_names_of_applications(commands: Commands) -> None:
    commands.json("applications", "create", "Shop")
    refused(commands.run("applications", "create", "Shop"), "already")
    refused(commands.run("applications", "create", " "), "1 to 100")
    refused(commands.run("applications", "create", "a" * 101), "1 to 100")
    refused(commands.run("applications", "create", "a\x1b[2Jb"), "printable")
    refused(commands.run("applications", "create", NOBODY), "id")
    refused(commands.run("applications", "show", "Shop 2"), "applications list")
    refused(commands.run("applications", "show", NOBODY), "applications list")
    refused(commands.run("applications", "create", "X", "--kind", "desktop"), "desktop", 2)
    refused(commands.run("applications", "create", "X", "--access-token-lifetime", "soon"), "15m", 2)
    words = ("--session-idle-lifetime", "2d", "--session-absolute-lifetime", "1d")
    refused(commands.run("applications", "create", "X", *words), "idle")
    assert [one["name"] for one in commands.json("applications", "list")] == ["Shop"]


def test_disabling_an_application(commands: Commands) -> None:
    commands.json("applications", "create", "Shop")
    assert commands.json("applications", "disable", "Shop")["state"] == "disabled"
    assert commands.json("applications", "disable", "Shop")["disabled_at"] is not None
    assert commands.json("applications", "enable", "Shop")["state"] == "enabled"
    assert kinds(commands)[2:] == ["application_disabled", "application_enabled"]
    refused(commands.run("applications", "disable", "Other"), "applications list")


def test_further_keys(commands: Commands) -> None:
    commands.json("applications", "create", "Shop")
    secret = commands.json("keys", "create", "Shop", "--kind", "secret", "--expires-in", "90d")
    assert secret["api_key"].startswith("kbs_") and secret["permissions"] == [] and secret["expires_at"] is not None
    guard = commands.json("keys", "create", "Shop", "--permission", "guard", "--permission", "admin")
    assert guard["api_key"].startswith("kbs_") and guard["permissions"] == ["admin", "guard"]
    assert commands.json("keys", "create", "Shop")["api_key"].startswith("kbp_")
    refused(commands.run("keys", "create", "Shop", "--kind", "publishable", "--permission", "guard"), "--kind secret")
    refused(commands.run("keys", "create", "Shop", "--permission", "root"), "admin, guard")
    refused(commands.run("keys", "create", "Other"), "applications list")
    revoked = commands.json("keys", "revoke", secret["id"])
    assert revoked["state"] == "revoked" and revoked == commands.json("keys", "revoke", secret["id"])
    states = [key["state"] for key in commands.json("keys", "list", "Shop")]
    assert states == ["active", "revoked", "active", "active"]
    for unknown in (NOBODY, "kbs_whatever"):
        refused(commands.run("keys", "revoke", unknown), "keys list")


# --- users -----------------------------------------------------------------------------------------------------------


def test_a_user_has_three_names(commands: Commands, jane: str) -> None:
    for name in (jane, "jane@example.com", " JANE@example.com", "+41446681800", "+41 (44) 668-18-00"):
        assert commands.json("users", "show", name)["id"] == jane
    shown = commands.json("users", "show", jane)
    assert shown["email"] == "jane@example.com" and shown["phone"] == "+41446681800"
    assert (shown["first_name"], shown["last_name"], shown["status"], shown["roles"]) == ("Jane", "Doe", "enabled", [])
    assert kinds(commands) == ["user_created"]
    assert commands.json("audit", "list")[0]["actor"] == "operator"


def test_names_of_users_are_unique(commands: Commands, jane: str) -> None:
    words = ("--first-name", "J", "--last-name", "D", "--password-stdin")
    ended = commands.run("users", "create", "JANE@example.com", *words, stdin=PASSWORD)
    refused(ended, "jane@example.com already")
    ended = commands.run("users", "create", "other@example.com", *words, "--phone", "+41446681800", stdin=PASSWORD)
    refused(ended, "+41446681800 already")
    assert len(commands.json("users", "list")) == 1


@pytest.mark.parametrize(
    ("email", "phone", "said"),
    [("jane", "+41446681800", "name@domain"), ("jane@example.com", "044 668 18 00", "international")],
)
def test_malformed_names_of_users(sqlite_commands: Commands, email: str, phone: str, said: str) -> None:
    words = ("--first-name", "Jane", "--last-name", "Doe", "--phone", phone, "--password-stdin")
    refused(sqlite_commands.run("users", "create", email, *words, stdin=PASSWORD), said)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("seven77", "8 characters"),
        ("password1", "common"),
        ("PASSWORD1", "common"),
        ("Jane.Doe!", "own name"),
        ("jane@example.com", "own name"),
        ("+41 44 6681800", "own name"),
        ("x" * 1025, "1024 bytes"),
        ("with\0nul-byte", "NUL"),
    ],
)
def test_passwords_that_are_not_taken(sqlite_commands: Commands, password: str, said: str) -> None:
    words = ("--first-name", "Jane", "--last-name", "Doe", "--phone", "+41446681800", "--password-stdin")
    ended = sqlite_commands.run("users", "create", "jane@example.com", *words, stdin=password + "\n")
    refused(ended, said)
    assert password not in ended.err
    assert sqlite_commands.json("users", "list") == []


def test_passwords_are_never_arguments(sqlite_commands: Commands) -> None:
    for verb in ("create", "set-password"):
        help = sqlite_commands.run("users", verb, "--help").out
        assert "--password-stdin" in help and "--password " not in help
    ended = sqlite_commands.run("users", "create", "j@example.com", "--first-name", "J", "--last-name", "D")
    refused(ended, "--password-stdin", 2)
    refused(sqlite_commands.run("users", "set-password", "j@example.com"), "--password-stdin", 2)
    refused(sqlite_commands.run("users", "set-password", "j@example.com", "--password-stdin", stdin="\n"), "nothing", 2)


def test_a_typed_password_is_asked_for_twice_and_not_shown(sqlite_commands: Commands) -> None:
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "keybearer", "users", "create", "jane@example.com"]
    process = subprocess.Popen(
        [*command, "--first-name", "Jane", "--last-name", "Doe"],
        cwd=sqlite_commands.directory,
        env=sqlite_commands.environment({}),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    for prompt in (b"Password: ", b"for confirmation: "):
        while not shown.endswith(prompt):
            shown += os.read(main, 1024)
        os.write(main, PASSWORD.encode() + b"\n")
    assert process.wait(WITHIN) == 0
    assert PASSWORD.encode() not in shown + os.read(main, 65536)
    os.close(main)
    assert [user["email"] for user in sqlite_commands.json("users", "list")] == ["jane@example.com"]


def test_an_imported_password_hash(commands: Commands) -> None:
    words = ("users", "create", "old@example.com", "--first-name", "O", "--last-name", "L", "--password-hash-stdin")
    assert commands.json(*words, stdin=BCRYPT + "\n")["email"] == "old@example.com"
    for text in (
        "$1$salt$hash",
        "plain text",
        "$2b$31$" + BCRYPT[7:],
        "$argon2id$v=19$m=99999999,t=9,p=9$c2FsdA$aGFzaA",
    ):
        ended = commands.run(*words, stdin=text)
        refused(ended, "cannot be imported")
        assert text not in ended.err
    refused(commands.run(*words, "--password-stdin", stdin="x"), "not both", 2)


def test_setting_a_password(commands: Commands, jane: str) -> None:
    commands.json("users", "set-password", "jane@example.com", "--password-stdin", stdin="another horse battery\n")
    refused(commands.run("users", "set-password", jane, "--password-stdin", stdin="password1"), "common")
    assert kinds(commands) == ["user_created", "password_set"]
    refused(commands.run("users", "set-password", "nobody@example.com", "--password-stdin", stdin="x"), "users list")


def test_disabling_a_user(commands: Commands, jane: str) -> None:
    assert commands.json("users", "disable", jane)["status"] == "disabled"
    assert commands.json("users", "enable", "jane@example.com")["status"] == "enabled"
    assert kinds(commands) == ["user_created", "user_disabled", "user_enabled"]
    refused(commands.run("users", "disable", NOBODY), "users list")
    refused(commands.run("users", "disable", "nonsense"), "cannot be taken")


def test_roles(commands: Commands, jane: str) -> None:
    assert commands.json("users", "add-role", jane, "writer")["roles"] == ["writer"]
    assert commands.json("users", "add-role", jane, "admin:eu/west")["roles"] == ["admin:eu/west", "writer"]
    assert commands.json("users", "remove-role", jane, "writer")["roles"] == ["admin:eu/west"]
    assert commands.json("users", "remove-role", jane, "never had")["roles"] == ["admin:eu/west"]
    for role in ("", "two words", "-x", "r" * 65):
        refused(commands.run("users", "add-role", jane, "--", role), "role")
    assert kinds(commands)[1:] == ["role_added", "role_added", "role_removed"]


def test_long_lists_of_users_have_pages(sqlite_commands: Commands) -> None:
    words = ("--first-name", "U", "--last-name", "V", "--password-hash-stdin")
    made = [sqlite_commands.json("users", "create", f"u{n}@example.com", *words, stdin=BCRYPT)["id"] for n in range(3)]
    first = sqlite_commands.json("users", "list", "--limit", "2")
    rest = sqlite_commands.json("users", "list", "--after", first[-1]["id"])
    assert [user["id"] for user in first + rest] == made


# --- sessions, signing keys, audit trail -----------------------------------------------------------------------------


def test_sessions_that_are_not_there(commands: Commands, jane: str) -> None:
    assert commands.json("sessions", "list", "--user", jane) == commands.json("sessions", "list") == []
    refused(commands.run("sessions", "revoke", NOBODY), "no such session")
    refused(commands.run("sessions", "revoke", "nonsense"), "no such session")
    refused(commands.run("sessions", "list", "--user", "nobody@example.com"), "users list")


def test_rotating_keys(commands: Commands) -> None:
    assert commands.json("signing-keys", "list") == []
    following = commands.json("signing-keys", "rotate")
    assert (following["purpose"], following["state"], following["algorithm"]) == ("signing", "next", "ES256")
    refused(commands.run("signing-keys", "rotate"), "under way")
    token_key = commands.json("signing-keys", "rotate", "--purpose", "refresh_token")
    assert token_key["state"] == "next"
    states = [(key["purpose"], key["state"]) for key in commands.json("signing-keys", "list")]
    assert sorted(states) == [
        ("refresh_token", "active"), ("refresh_token", "next"), ("signing", "active"), ("signing", "next")
    ]  # fmt: skip


def test_rotating_at_once(commands: Commands) -> None:
    commands.json("signing-keys", "rotate", "--now")
    states = {key["state"] for key in commands.json("signing-keys", "list") if key["purpose"] == "signing"}
    assert states == {"active", "retired"}
    refused(commands.run("signing-keys", "rotate", "--purpose", "refresh_token", "--now"), "without --now", 2)


def test_the_audit_trail_has_pages(commands: Commands, jane: str) -> None:
    for _ in range(2):
        commands.json("users", "disable", jane)
        commands.json("users", "enable", jane)
    newest = commands.json("audit", "list", "--limit", "2")
    older = commands.json("audit", "list", "--before", str(newest[-1]["id"]))
    assert len(newest) == 2 and len(older) == 3
    assert [event["id"] for event in newest + older] == sorted((e["id"] for e in newest + older), reverse=True)


# --- output ----------------------------------------------------------------------------------------------------------


def test_tables_lose_nothing_and_stay_on_one_line(sqlite_commands: Commands) -> None:
    names = [f"{'a rather long name ' * 5}{n}" for n in range(2)]
    for name in names:
        sqlite_commands.json("applications", "create", name)
    head, *rows = sqlite_commands.run("applications", "list").out.splitlines()
    assert head.split()[:2] == ["id", "name"]
    assert [name in row for name, row in zip(names, rows, strict=True)] == [True, True]


def test_what_looks_like_markup_is_shown_as_it_is(sqlite_commands: Commands) -> None:
    sqlite_commands.json("applications", "create", "[bold]Shop[/bold] :smile:")
    for verb in (("list",), ("show", "[bold]Shop[/bold] :smile:")):
        assert "[bold]Shop[/bold] :smile:" in sqlite_commands.run("applications", *verb).out


@pytest.mark.parametrize("noun", ["applications", "keys", "users", "sessions", "signing-keys", "audit"])
def test_empty_lists(sqlite_commands: Commands, noun: str) -> None:
    assert sqlite_commands.json(noun, "list") == []
    assert sqlite_commands.run(noun, "list").out.startswith("There is no")


def test_migrating_again_changes_nothing(commands: Commands) -> None:
    migrated = commands.json("migrate")
    assert migrated["before"] == migrated["revision"]
    assert "Nothing was to be done" in commands.run("migrate").out


# --- where the settings come from ------------------------------------------------------------------------------------


def test_the_options_of_all_commands(sqlite_commands: Commands) -> None:
    directory = sqlite_commands.directory
    (directory / "settings.toml").write_text(f'database = "sqlite:///{directory}/file.db"')
    sqlite_commands.run("--config", "settings.toml", "applications", "create", "Of the file")
    sqlite_commands.run("--database", f"sqlite:///{directory}/option.db", "applications", "create", "Of the option")
    for name, settings in {"file": "settings.toml", "option": ""}.items():
        words = ("--config", settings) if settings else ("--database", f"sqlite:///{directory}/{name}.db")
        listed = sqlite_commands.run(*words, "applications", "list", "--json").json()
        assert [one["name"] for one in listed] == [f"Of the {name}"]
    both = sqlite_commands.run(
        *("--config", "settings.toml", "--database", f"sqlite:///{directory}/option.db", "applications", "list"),
        "--json",
    )
    assert [one["name"] for one in both.json()] == ["Of the option"]
    refused(sqlite_commands.run("--config", "missing.toml", "users", "list"), "missing.toml", 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nonsense",), "nonsense"),
        (("users", "nonsense"), "nonsense"),
        (("users", "create"), "EMAIL"),
        (("users", "create", "a@b.c"), "--first-name"),
        (("users", "list", "--limit", "0"), "--limit"),
        (("keys", "create", "x", "--expires-in", "-1"), "90d"),
    ],
)
def test_wrong_usage(sqlite_commands: Commands, words: tuple[str, ...], said: str) -> None:
    refused(sqlite_commands.run(*words), said, 2)
    assert list(sqlite_commands.directory.iterdir()) == []


def test_wrong_settings(sqlite_commands: Commands) -> None:
    ended = sqlite_commands.run("users", "list", KEYBEARER_DATABASE="postgresql://u:geheim@host")
    refused(ended, "KEYBEARER_DATABASE takes", 2)
    assert "geheim" not in ended.err
    ended = sqlite_commands.run("users", "list", KEYBEARER_DATABASE="postgresql://u:geheim@127.0.0.1:1/name")
    refused(ended, "cannot be reached")
    assert "geheim" not in ended.err


def test_a_fault_of_a_command_does_not_look_like_an_unknown_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(importing, "import_module", fail)
    assert isinstance(CliRunner().invoke(app, ["serve"]).exception, KeyError)
