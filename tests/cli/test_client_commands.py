"""The commands of the client, against the real service and the guarded example, with faults in front of them."""

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, make_api_key
from tests.cli.commands import WITHIN, Commands
from tests.cli.desk import REFRESH, REVOKE, Desk
from tests.cli.terminal import at_terminal
from tests.stage.client import Stage, running_stage
from tests.stage.faults import Answer, DropBefore, Gate, Redirect, Truncate


@pytest.fixture(scope="module")
def staged() -> Iterator[Stage]:
    with running_stage() as stage:
        yield stage


@pytest.fixture
def stage(staged: Stage) -> Iterator[Stage]:
    staged.reset()
    yield staged
    staged.reset()


@pytest.fixture
def desk(stage: Stage, tmp_path: Path) -> Desk:
    """Nobody has logged in here."""
    places = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    desk = Desk(Commands(tmp_path, places), stage, tmp_path)
    desk.key_file.write_text(stage.publishable_key + "\n")
    return desk


@pytest.fixture
def inside(desk: Desk) -> Desk:
    """The first user has logged in, and the journal is empty."""
    assert desk.log_in().status == 0
    desk.stage.clear_journal()
    return desk


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


# --- the main line ---------------------------------------------------------------------------------------------------


def test_from_login_to_logout(desk: Desk) -> None:
    stage, user = desk.stage, desk.stage.users[0]
    words = ("--url", stage.base_url, "--origin", stage.api, "--api-key-file", str(desk.key_file))
    login = desk.spawn(
        "login", *words, "--username", user.username, "--password-stdin", "--json", stdin=user.password + "\n"
    )
    assert login.json()["user_id"] == user.id
    note = desk.spawn(
        "curl", f"{stage.api}/notes", "-d", '{"text": "Milk"}', "-H", "Content-Type: application/json"
    ).json()
    assert note["text"] == "Milk"
    assert note in desk.spawn("curl", f"{stage.api}/notes").json()
    token = desk.spawn("token")
    assert token.status == 0 and token.out == desk.session_token + "\n"
    whoami = desk.spawn("whoami", "--json").json()
    assert (whoami["user_id"], whoami["email"]) == (user.id, user.username)
    assert desk.spawn("logout", "--json").json() == {"profile": "default", "session": "revoked"}
    refused = desk.spawn("curl", f"{stage.api}/notes")
    assert refused.status == 1 and refused.out == ""
    assert refused.err == "keybearer: There is no session: log in first. Run `keybearer login`.\n"


def test_people_see_lines(inside: Desk) -> None:
    shown = inside.run("whoami").out.splitlines()
    assert [line.partition("  ")[0] for line in shown][:3] == ["profile", "user id", "email"]
    assert f"email         {inside.stage.users[0].username}" in shown


def test_what_lies_around_is_for_its_owner(inside: Desk) -> None:
    session = inside.session_file.name
    assert files_below(inside.config) == {"default.json", "default.json.writing"}
    assert files_below(inside.state) == {session, f"{session}.writing"}
    for directory in (inside.config, inside.state):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        for file in directory.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = (inside.config / "default.json").read_text()
    assert inside.stage.publishable_key not in text and inside.session_token not in text


# --- login -----------------------------------------------------------------------------------------------------------


def test_a_wrong_password_leaves_nothing_behind(desk: Desk) -> None:
    words = ("--url", desk.stage.base_url, "--username", desk.stage.users[0].username, "--password-stdin")
    ended = desk.run("login", *words, "--api-key-file", str(desk.key_file), stdin="wrong\n")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "keybearer: The username or the password is wrong.\n"
    assert files_below(desk.home) == {"api-key"}


def test_a_later_login_names_only_what_changes(inside: Desk) -> None:
    user = inside.stage.users[1]
    ended = inside.run("login", "--username", user.username, "--password-stdin", stdin=user.password + "\n")
    assert ended.status == 0, ended.err
    assert inside.json("whoami")["user_id"] == user.id
    assert inside.run("curl", f"{inside.stage.api}/notes").status == 0


def test_a_failed_login_leaves_the_session_of_before(inside: Desk) -> None:
    before = inside.session
    inside.stage.add_fault("auth", Answer(404), path="/v1/api/oauth/token")
    ended = inside.log_in(user=1)
    assert ended.status == 2 and "check the base URL" in ended.err
    assert inside.session == before
    assert inside.run("whoami").status == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Give --url"),
        (("--url", "auth.example.com"), "base_url is an https URL"),
        (("--url", "https://user:pass@auth.example.com"), "no credentials"),
        (("--url", "http://auth.example.com"), "everyone on the way could read the credentials"),
        (("--url", "https://auth.example.com", "--origin", "https://a.example.com/notes"), "without a path"),
        (("--url", "https://auth.example.com", "--origin", "http://a.example.com"), "http://a.example.com:80"),
        (("--url", "https://auth.example.com", "--profile", "../up"), "takes letters"),
        (("--url", "https://auth.example.com", "--api-key-file", "nowhere"), "cannot be read: No such file"),
        (("--url", "https://auth.example.com", "--store", "cloud"), "--store"),
        (("--url", "https://auth.example.com", "--password", "secret"), "No such option"),
        (("--url", "https://auth.example.com", "--api-key", "kbp_"), "No such option"),
    ],
)
def test_what_cannot_be_meant_is_said(desk: Desk, words: tuple[str, ...], says: str) -> None:
    ended = desk.run("login", *words, KEYBEARER_CLIENT_API_KEY=desk.stage.publishable_key)
    assert (ended.status, ended.out) == (2, "")
    assert says in " ".join(ended.err.replace("│", " ").split())
    assert files_below(desk.home) == {"api-key"}


def test_http_beyond_this_machine_must_be_named(desk: Desk) -> None:
    words = ("--url", "http://auth.invalid", "--insecure-origin", "http://auth.invalid")
    ended = desk.run("login", *words, "--api-key-file", str(desk.key_file), "--username", "jane")
    assert "There is no terminal to ask on: give --password-stdin" in ended.err


@pytest.mark.parametrize("text", ["", "kbp_cut-off", "two\nlines", "\N{PILE OF POO}", b"\xff\xfe"])
def test_a_malformed_key_is_refused_before_it_is_sent(desk: Desk, text: str | bytes) -> None:
    desk.key_file.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = desk.log_in()
    assert ended.status == 2 and "Api-Key" in ended.err
    assert desk.stage.journal() == []


def test_a_key_of_nobody(desk: Desk) -> None:
    desk.key_file.write_text(make_api_key(ApiKeyKind.PUBLISHABLE, bytes(RANDOM_BYTES)))
    ended = desk.log_in()
    assert ended.status == 1
    assert "`keybearer login --api-key-file FILE` takes another." in ended.err


def test_without_a_terminal_nothing_is_asked(desk: Desk) -> None:
    ended = desk.run("login", "--url", desk.stage.base_url)
    assert ended.status == 2
    assert "give --api-key-file, or set KEYBEARER_CLIENT_API_KEY" in ended.err
    ended = desk.run("login", "--url", desk.stage.base_url, "--api-key-file", str(desk.key_file), "--password-stdin")
    assert ended.status == 2 and "give --username" in ended.err


def test_the_limiter_says_when_to_try_again(desk: Desk) -> None:
    document = {"errors": [{"status": "429", "code": "too_many_attempts", "title": "T", "detail": "Too many."}]}
    answer = Answer(429, {"Retry-After": "17", "Content-Type": "application/json"}, document)
    desk.stage.add_fault("auth", answer, path="/v1/api/oauth/token")
    ended = desk.log_in()
    assert (ended.status, ended.err) == (1, "keybearer: Too many. Try again in 17 s.\n")


def test_a_session_that_cannot_be_remembered_ends_at_the_service(desk: Desk) -> None:
    desk.state.parent.mkdir()
    desk.state.write_text("in the way")
    ended = desk.log_in()
    assert ended.status == 1 and str(desk.state) in ended.err
    assert [entry.status for entry in desk.stage.journal("auth", path=REVOKE)] == [200]


# --- where the key comes from ----------------------------------------------------------------------------------------


def test_the_key_in_the_environment_is_not_written_down(desk: Desk) -> None:
    key = desk.stage.publishable_key
    assert desk.log_in_bare(KEYBEARER_CLIENT_API_KEY=key).status == 0
    assert desk.run("whoami", KEYBEARER_CLIENT_API_KEY=key).status == 0
    ended = desk.run("whoami")
    assert ended.status == 2
    assert "KEYBEARER_CLIENT_API_KEY is not set, and the profile default takes its Api-Key from there." in ended.err
    assert all(key not in path.read_text() for path in desk.home.rglob("default*"))


def test_another_key_in_the_environment_does_no_harm_later(inside: Desk) -> None:
    """It would be another application's, and the service would end the session."""
    assert inside.run("whoami", KEYBEARER_CLIENT_API_KEY=inside.stage.other_publishable_key).status == 0


def test_a_key_that_can_be_read_once_is_kept(desk: Desk) -> None:
    command = f'exec "{sys.executable}" -m keybearer "$@" --api-key-file <(cat api-key)'
    user = desk.stage.users[0]
    words = ("login", "--url", desk.stage.base_url, "--username", user.username, "--password-stdin")
    done = subprocess.run(
        ["bash", "-c", command, "bash", *words],
        cwd=desk.home,
        env=desk.commands.environment({}),
        input=user.password + "\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    desk.key_file.unlink()
    assert desk.run("whoami").status == 0
    [kept] = desk.state.glob("*.key")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_the_file_of_the_key_may_change(inside: Desk) -> None:
    inside.key_file.write_text(inside.stage.secret_key)
    assert inside.run("whoami").status == 0
    inside.key_file.write_text("")
    ended = inside.run("whoami")
    assert ended.status == 2 and f"{inside.key_file} is empty" in ended.err
    inside.key_file.unlink()
    ended = inside.run("whoami")
    assert ended.status == 2 and "No such file" in ended.err


# --- curl ------------------------------------------------------------------------------------------------------------


def test_both_headers_reach_the_origins_of_the_login(inside: Desk) -> None:
    stage = inside.stage
    for url in (f"{stage.api}/notes", f"{stage.base_url}/users/me"):
        assert inside.run("curl", url).status == 0
    for target in ("auth", "api"):
        [entry] = stage.journal(target)
        assert entry.headers["api-key"] == stage.publishable_key
        assert entry.headers["authorization"] == f"Bearer {inside.session_token}"


@pytest.mark.parametrize(
    "url", ["{other}/x", "{other}@{api}/x", "http://localhost:1/x", "https://user:secret@127.0.0.1/x"]
)
def test_nothing_is_sent_elsewhere(inside: Desk, url: str) -> None:
    url = url.format(other=inside.stage.other, api=inside.stage.api.removeprefix("http://"))
    ended = inside.run("curl", url)
    assert (ended.status, ended.out) == (2, "")
    assert "is none of the origins of this login" in ended.err and "secret" not in ended.err
    assert inside.stage.journal() == []


@pytest.mark.parametrize("url", ["/notes", "notes", "ftp://example.com/", "http://[", "", "http://a:99999/"])
def test_a_url_is_absolute(inside: Desk, url: str) -> None:
    ended = inside.run("curl", url)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "keybearer: Give an absolute URL, as https://api.example.com/notes.\n"


def test_a_redirect_is_an_answer(inside: Desk) -> None:
    inside.stage.add_fault("api", Redirect(f"{inside.stage.other}/x", 302), path="/notes")
    ended = inside.run("curl", "-i", f"{inside.stage.api}/notes")
    assert ended.status == 0
    assert f"location: {inside.stage.other}/x" in ended.out.lower()
    assert inside.stage.journal("other") == []


def test_a_refused_token_is_refreshed_and_the_request_made_once_more(inside: Desk) -> None:
    inside.spoil()
    assert inside.run("curl", f"{inside.stage.api}/notes").status == 0
    assert [entry.status for entry in inside.stage.journal("api")] == [401, 200]
    assert inside.refreshes() == 1


def test_never_more_than_once(inside: Desk) -> None:
    inside.stage.add_fault("api", Answer(401, {"Content-Type": "text/plain"}, "no"), path="/notes")
    ended = inside.run("curl", f"{inside.stage.api}/notes")
    assert (ended.status, ended.out) == (1, "no")
    assert len(inside.stage.journal("api")) == 2 and inside.refreshes() == 1


@pytest.mark.parametrize("status", [400, 403, 404, 422, 500, 503])
def test_a_refusal_is_written_and_ends_with_one(inside: Desk, status: int) -> None:
    inside.stage.add_fault("api", Answer(status, {}, "because"), path="/notes")
    ended = inside.run("curl", f"{inside.stage.api}/notes")
    assert (ended.status, ended.out, ended.err) == (1, "because", "")


@pytest.mark.parametrize("how", ["spoil", "expire"])
def test_ten_at_once_refresh_once(inside: Desk, how: str) -> None:
    """In processes of their own: one session, and nobody is logged out."""
    getattr(inside, how)()
    session = inside.session
    with ThreadPoolExecutor(10) as pool:
        ended = list(pool.map(lambda _: inside.spawn("curl", f"{inside.stage.api}/notes"), range(10)))
    assert [(one.status, one.err) for one in ended] == [(0, "")] * 10
    assert inside.refreshes() == 1
    assert session is not None and inside.session is not None
    assert inside.session["sessionId"] == session["sessionId"]
    assert inside.session["refreshToken"] != session["refreshToken"]
    assert inside.run("whoami").status == 0


def test_a_session_that_has_ended(inside: Desk) -> None:
    inside.stage.command("sessions", "revoke", inside.json("whoami")["session_id"])
    inside.spoil()
    for _ in range(2):
        ended = inside.run("curl", f"{inside.stage.api}/notes")
        assert (ended.status, ended.out) == (1, "")
        assert "Run `keybearer login`." in ended.err
    assert inside.session is None


def test_a_service_that_is_down_ends_no_session(inside: Desk) -> None:
    inside.expire()
    before = inside.session
    inside.stage.add_fault("auth", DropBefore(), path=REFRESH)
    ended = inside.run("curl", f"{inside.stage.api}/notes")
    assert ended.status == 1 and "Try again in" in ended.err
    assert inside.session == before
    inside.stage.clear_faults()
    assert inside.run("curl", f"{inside.stage.api}/notes").status == 0


def posted(desk: Desk) -> list[str]:
    return [entry.body for entry in desk.stage.journal("other")]


@pytest.fixture
def everywhere(desk: Desk) -> Desk:
    """Logged in, with a second origin that takes whatever it is sent."""
    assert desk.log_in("--origin", desk.stage.other).status == 0
    desk.stage.clear_journal()
    return desk


def test_bodies(everywhere: Desk) -> None:
    url = f"{everywhere.stage.other}/x"
    (everywhere.home / "body").write_text("from a file\n")
    assert everywhere.run("curl", url, "-d", "as it is").status == 0
    assert everywhere.run("curl", url, "-d", f"@{everywhere.home / 'body'}", "-X", "PUT").status == 0
    assert everywhere.run("curl", url, "-d", "@-", "-H", "content-type: text/plain", stdin="from stdin\n").status == 0
    assert posted(everywhere) == ["as it is", "from a file\n", "from stdin\n"]
    entries = everywhere.stage.journal("other")
    form = "application/x-www-form-urlencoded"
    assert [entry.method for entry in entries] == ["POST", "PUT", "POST"]
    assert [entry.headers["content-type"] for entry in entries] == [form, form, "text/plain"]


@pytest.mark.parametrize("body", ["as it is", "@body", "@-"])
def test_the_second_try_has_the_same_body(everywhere: Desk, body: str) -> None:
    large = "0123456789" * 50_000
    (everywhere.home / "body").write_text(large)
    everywhere.stage.add_fault("other", Answer(401), times=1)
    ended = everywhere.spawn("curl", f"{everywhere.stage.other}/x", "-d", body, stdin=large)
    assert ended.status == 0, ended.err
    first, second = everywhere.stage.journal("other")
    assert first.body_sha256 == second.body_sha256
    assert second.body_bytes == (8 if body == "as it is" else len(large))


def test_what_can_be_sent_once_is_sent_once(everywhere: Desk) -> None:
    everywhere.stage.add_fault("other", Answer(401), times=1)
    command = f'exec "{sys.executable}" -m keybearer curl "{everywhere.stage.other}/x" -d @<(echo once)'
    done = subprocess.run(
        ["bash", "-c", command], env=everywhere.commands.environment({}), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "make the request again" in done.stderr
    assert posted(everywhere) == ["once\n"]


def test_a_body_that_is_not_there(inside: Desk) -> None:
    ended = inside.run("curl", f"{inside.stage.api}/notes", "-d", "@nowhere")
    assert (ended.status, ended.err) == (2, "keybearer: nowhere cannot be read: No such file or directory.\n")


def test_headers(everywhere: Desk) -> None:
    words = ("-H", "X-One:  1 ", "-H", "X-Two: zwölf", "-H", "Accept: text/csv", "-H", "Api-Key: mine")
    assert everywhere.run("curl", f"{everywhere.stage.other}/x", *words).status == 0
    [entry] = everywhere.stage.journal("other")
    assert entry.headers["x-one"] == "1" and entry.headers["accept"] == "text/csv"
    assert entry.headers["x-two"].encode("utf-8", "surrogateescape").decode() == "zwölf"
    assert entry.headers["api-key"] == everywhere.stage.publishable_key


def test_an_authorization_of_the_callers_own_stays(everywhere: Desk) -> None:
    everywhere.stage.add_fault("other", Answer(401))
    words = ("-H", "Authorization: Basic bWluZQ==")
    assert everywhere.run("curl", f"{everywhere.stage.other}/x", *words).status == 1
    [entry] = everywhere.stage.journal("other")
    assert entry.headers["authorization"] == "Basic bWluZQ=="
    assert entry.headers["api-key"] == everywhere.stage.publishable_key
    assert everywhere.refreshes() == 0


@pytest.mark.parametrize("header", ["no colon", "Name\n: x", "X: a\nb", ": x", "Ümlaut: x", "X: \0"])
def test_a_malformed_header(inside: Desk, header: str) -> None:
    ended = inside.run("curl", f"{inside.stage.api}/notes", "-H", header)
    assert ended.status == 2 and "takes `Name: value`" in ended.err
    assert inside.stage.journal() == []


def test_where_the_answer_goes(everywhere: Desk) -> None:
    url, file = f"{everywhere.stage.other}/x", everywhere.home / "answer"
    body = "0123456789" * 100_000
    everywhere.stage.add_fault("other", Answer(200, {"X-Answer": "yes"}, body))
    assert everywhere.spawn("curl", url).out == body
    ended = everywhere.run("curl", url, "-o", str(file))
    assert (ended.status, ended.out) == (0, "")
    assert file.read_text() == body
    lines = everywhere.run("curl", "-i", url).out.splitlines()
    assert lines[0] == "HTTP/1.1 200 OK" and "X-Answer: yes" in lines and lines[-1] == body
    ended = everywhere.run("curl", url, "-o", str(everywhere.home / "no" / "answer"))
    assert ended.status == 2 and "cannot be written: No such file or directory." in ended.err


def test_an_answer_is_written_as_it_comes(everywhere: Desk) -> None:
    """The reader goes away after the first bytes, and nobody sees a traceback."""
    everywhere.stage.add_fault("other", Answer(200, {}, "0123456789" * 100_000))
    command = f'"{sys.executable}" -m keybearer curl "{everywhere.stage.other}/x" | head -c 4'
    done = subprocess.run(
        ["bash", "-c", command], env=everywhere.commands.environment({}), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0123", "")


def test_a_disk_that_is_full(inside: Desk) -> None:
    ended = inside.run("curl", f"{inside.stage.api}/notes", "-o", "/dev/full")
    assert ended.status == 1 and "or the answer not be written: No space left on device." in ended.err


def test_verbose_shows_both_tries_and_no_credential(inside: Desk) -> None:
    inside.spoil()
    ended = inside.run("curl", "-v", f"{inside.stage.api}/notes?a=b", "-H", "Cookie: chocolate")
    lines = ended.err.splitlines()
    assert lines.count("> GET /notes?a=b HTTP/1.1") == 2
    assert lines.count("> Authorization: [secure]") == lines.count("> Api-Key: [secure]") == 2
    assert [line for line in lines if line.startswith("< HTTP")] == ["< HTTP/1.1 401 Unauthorized", "< HTTP/1.1 200 OK"]
    assert "chocolate" not in ended.err and ended.out.startswith("[")


def test_nobody_answers(inside: Desk) -> None:
    inside.stage.add_fault("api", DropBefore(), path="/notes")
    ended = inside.run("curl", f"{inside.stage.api}/notes")
    assert (ended.status, ended.out) == (1, "")
    assert "ended before the whole answer was there (RemoteProtocolError)" in ended.err
    inside.stage.reset()
    inside.stage.add_fault("api", Truncate(), path="/notes")
    inside.run("curl", f"{inside.stage.api}/notes", "-d", '{"text": "a"}', "-H", "Content-Type: application/json")
    ended = inside.run("curl", f"{inside.stage.api}/notes")
    assert ended.status == 1 and "ended before the whole answer was there" in ended.err


def test_no_server_at_all(desk: Desk) -> None:
    assert desk.log_in("--origin", "http://127.0.0.1:1").status == 0
    ended = desk.run("curl", "http://127.0.0.1:1/x")
    assert ended.status == 1 and "Nothing answers there" in ended.err


def test_interrupted_it_ends_quietly(inside: Desk) -> None:
    inside.stage.add_fault("api", Gate("held"), path="/notes")
    with inside.commands._process("curl", f"{inside.stage.api}/notes") as process:
        inside.stage.wait_at_gate("held")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WITHIN)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


# --- token and whoami ------------------------------------------------------------------------------------------------


def test_a_token_near_its_end_is_refreshed(inside: Desk) -> None:
    before = inside.session_token
    assert inside.run("token").out == before + "\n"
    inside.change_session(expiresAt=0.0)
    after = inside.run("token").out
    assert after == inside.session_token + "\n" and after != before + "\n"
    assert inside.json("token") == {"access_token": inside.session_token}


def test_a_script_uses_the_token(inside: Desk) -> None:
    """As the documentation shows it."""
    script = (
        f'curl -sf "{inside.stage.base_url}/users/me" -H "Api-Key: $(cat api-key)" '
        f'-H "Authorization: Bearer $("{sys.executable}" -m keybearer token)"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=inside.home,
        env=inside.commands.environment({}),
        text=True,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["data"]["id"] == inside.stage.users[0].id


def test_information_about_the_token(inside: Desk) -> None:
    information = inside.json("token", "--info")
    assert information["user_id"] == inside.stage.users[0].id
    assert information["expires_in"] > 0 and information["roles"] == []
    assert inside.session_token not in json.dumps(information)


def test_whoami_asks_the_service(inside: Desk) -> None:
    shown = inside.json("whoami")
    assert shown["application"] == "Stage" and shown["roles"] == []
    inside.stage.command("sessions", "revoke", shown["session_id"])
    ended = inside.run("whoami")
    assert ended.status == 1 and "Run `keybearer login`." in ended.err


# --- logout ----------------------------------------------------------------------------------------------------------


def test_logout_twice(inside: Desk) -> None:
    assert inside.json("logout") == {"profile": "default", "session": "revoked"}
    assert inside.session is None
    assert inside.json("logout") == {"profile": "default", "session": "already_ended"}


def test_logout_with_an_expired_token_ends_the_session(inside: Desk) -> None:
    inside.expire()
    assert inside.json("logout")["session"] == "revoked"


def test_logout_everywhere(desk: Desk) -> None:
    profiles = ("laptop", "server")
    for profile in profiles:
        assert desk.log_in("--profile", profile).status == 0
    assert desk.run("logout", "--all-devices", "--profile", "laptop").status == 0
    assert desk.run("whoami", "--profile", "server").status == 1


def is_alive(desk: Desk, session_id: str) -> bool:
    listed = json.loads(desk.stage.command("sessions", "list", "--json").stdout)
    return session_id in {session["id"] for session in listed}


@pytest.mark.parametrize("fault", [DropBefore(), Answer(503), Answer(403, {"Content-Type": "application/json"}, "{}")])
def test_logout_ends_the_session_here_whatever_happens(inside: Desk, fault: DropBefore | Answer) -> None:
    session_id = inside.json("whoami")["session_id"]
    inside.stage.add_fault("auth", fault, path=REVOKE)
    ended = inside.run("logout", "--json")
    assert ended.status == 1
    assert json.loads(ended.out) == {"profile": "default", "session": "alive"}
    assert "at the service the session lives on until its end" in ended.err
    assert inside.session is None and is_alive(inside, session_id)


@pytest.mark.parametrize(("key", "says"), [(None, "No such file"), ("", "is empty"), ("kbp_cut-off", "cut off")])
def test_logout_without_the_key(inside: Desk, key: str | None, says: str) -> None:
    session_id = inside.json("whoami")["session_id"]
    inside.key_file.unlink()
    if key is not None:
        inside.key_file.write_text(key)
    ended = inside.run("logout")
    assert ended.status == 1 and says in ended.err
    assert inside.session is None and is_alive(inside, session_id)
    assert inside.run("logout").status == 2


def test_a_logout_during_a_refresh_wins(inside: Desk) -> None:
    inside.expire()
    inside.stage.add_fault("auth", Gate("refresh"), path=REFRESH)
    with inside.commands._process("curl", f"{inside.stage.api}/notes") as process:
        inside.stage.wait_at_gate("refresh")
        assert inside.run("logout").status == 0
        inside.stage.open_gate("refresh")
        process.communicate(timeout=WITHIN)
    assert process.returncode == 1
    assert inside.session is None


# --- profiles and stores ---------------------------------------------------------------------------------------------


def test_profiles_stand_side_by_side(desk: Desk) -> None:
    assert desk.log_in("--profile", "jane").status == 0
    assert desk.log_in("--profile", "joe", user=1).status == 0
    assert desk.json("whoami", "--profile", "jane")["user_id"] == desk.stage.users[0].id
    assert desk.run("whoami", "--json", KEYBEARER_CLIENT_PROFILE="joe").json()["user_id"] == desk.stage.users[1].id
    ended = desk.run("whoami")
    assert (ended.status, ended.err) == (1, "keybearer: There is no profile named default. Run `keybearer login`.\n")
    assert desk.run("logout", "--profile", "jane").status == 0
    ended = desk.run("token", "--profile", "jane")
    assert "Run `keybearer login --profile jane`." in ended.err
    assert desk.run("whoami", "--profile", "joe").status == 0


def test_a_profile_does_not_leave_its_session_behind(inside: Desk) -> None:
    elsewhere = ("--url", "http://127.0.0.1:1", "--username", "jane", "--password-stdin")
    ended = inside.run("login", *elsewhere, stdin="x\n")
    assert ended.status == 2
    assert f"has a session at {inside.stage.base_url}, in the store `file`: log out first" in ended.err
    assert inside.run("logout").status == 0
    ended = inside.run("login", *elsewhere, stdin="x\n")
    assert ended.status == 1 and "cannot be asked: Connection refused" in ended.err


class DesktopKeyring(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._require_unlocked()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._require_unlocked()
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]

    def _require_unlocked(self) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked("kbs_ in the text of an error")


@pytest.fixture
def desktop() -> Iterator[DesktopKeyring]:
    before = keyring.get_keyring()
    keyring.set_keyring(made := DesktopKeyring())
    yield made
    keyring.set_keyring(before)


def test_the_keyring(desk: Desk, desktop: DesktopKeyring) -> None:
    assert desk.log_in("--store", "keyring").status == 0
    [(service, name)] = desktop.entries
    assert service == "keybearer" and name.startswith("default@http-127.0.0.1-")
    assert list(desk.state.glob("*.session")) == []
    assert desk.run("curl", f"{desk.stage.api}/notes").status == 0
    desktop.locked = True
    ended = desk.run("whoami")
    assert (ended.status, ended.err) == (1, "keybearer: The token store failed: KeyringLocked.\n")
    desktop.locked = False
    assert desk.json("logout")["session"] == "revoked"


def test_without_the_library_of_the_keyring(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    ended = desk.log_in("--store", "keyring")
    assert ended.status == 2 and "pip install 'keybearer[keyring]'" in ended.err


# --- what others have broken -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", '{"version": 1}', "null"])
def test_a_session_file_that_cannot_be_read(inside: Desk, text: str) -> None:
    path = inside.session_file
    path.write_text(text)
    ended = inside.run("token")
    assert ended.status == 1
    first, second = ended.err.splitlines()
    assert first.startswith("keybearer: The stored session cannot be read") and f"kept as {path}.corrupt" in first
    assert second == "keybearer: There is no session: log in first. Run `keybearer login`."
    assert inside.log_in().status == 0


def test_a_session_file_of_a_newer_version(inside: Desk) -> None:
    path = inside.session_file
    path.write_text(newer := '{"version": 9}')
    ended = inside.run("token")
    assert ended.status == 1 and "upgrade keybearer" in ended.err
    assert path.read_text() == newer


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "default"', '{"name": "default", "version": 2}'])
def test_a_profile_that_cannot_be_read(inside: Desk, text: str) -> None:
    path = inside.config / "default.json"
    path.write_text(text)
    for words in (("whoami",), ("logout",), ("login", "--url", "https://auth.example.com")):
        ended = inside.run(*words)
        assert ended.status == 2 and f"{path} is no profile" in ended.err


@pytest.mark.parametrize("text", ["not a url", "https://auth.example.com", "http://auth.example.com"])
def test_a_profile_that_somebody_has_edited(inside: Desk, text: str) -> None:
    path = inside.config / "default.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"url": text}))
    ended = inside.run("whoami")
    assert ended.status in (1, 2) and ended.err.startswith("keybearer: ")


def test_no_home(desk: Desk) -> None:
    ended = desk.run("whoami", XDG_CONFIG_HOME="relative", HOME="relative")
    assert ended.status == 2 and "set XDG_CONFIG_HOME to an absolute path" in ended.err


# --- at a terminal ---------------------------------------------------------------------------------------------------


def test_what_is_missing_is_asked_for_and_not_shown(desk: Desk) -> None:
    stage, user = desk.stage, desk.stage.users[0]
    typed = (stage.publishable_key, user.username, user.password)
    environment = desk.commands.environment({})
    ended = at_terminal(["login", "--url", stage.base_url, "--json"], typed, desk.home, environment)
    assert ended.json()["user_id"] == user.id
    assert ended.err.split() == ["Api-Key:", "Email", "or", "phone:", user.username, "Password:"]
    assert desk.run("whoami").status == 0
    again = at_terminal(["login"], (user.username, "never"), desk.home, environment)
    assert again.status == 1 and "Api-Key" not in again.err and "never" not in again.err
