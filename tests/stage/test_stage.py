"""The stage does what tests of clients build on: each fault, the gates, the journal, the pages and the control API."""

import hashlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.stage.client import ROOT, WITHIN, Stage, StageRefused, running_stage
from tests.stage.documents import StageUser
from tests.stage.faults import (
    Answer,
    AnyAction,
    Delay,
    DropAfter,
    DropBefore,
    Fault,
    Faults,
    Gate,
    GateAfter,
    Gates,
    Hang,
    Redirect,
    StripCors,
    Truncate,
)
from tests.stage.journal import MAX_BODY, MAX_ENTRIES, Journal, Record

pytestmark = pytest.mark.slow

LOGIN = "/v1/api/oauth/token"
REFRESH = "/v1/api/oauth/token/refresh"
INFO = "/v1/api/oauth/token/info"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pages")
    (directory / "sub").mkdir()
    (directory / "sub" / "index.html").write_text("<!doctype html><title>Hello</title>")
    (directory / "module.mjs").write_text("export {};")
    return directory


@pytest.fixture(scope="module")
def staged(pages: Path) -> Iterator[Stage]:
    with running_stage({"KEYBEARER_REFRESH_RETRY_WINDOW": "0"}, pages=pages) as stage:
        yield stage


@pytest.fixture
def stage(staged: Stage) -> Iterator[Stage]:
    staged.reset()
    yield staged
    staged.reset()


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False, timeout=WITHIN) as client:
        yield client


def log_in(stage: Stage, http: httpx2.Client, user: StageUser | None = None) -> dict[str, Any]:
    """The attributes of a new session."""
    user = user or stage.users[0]
    body = {"username": user.username, "password": user.password}
    answer = http.post(stage.auth + LOGIN, headers={"Api-Key": stage.publishable_key}, json=body)
    assert answer.status_code == 200, answer.text
    attributes: dict[str, Any] = answer.json()["data"]["attributes"]
    return attributes


def both(stage: Stage, session: dict[str, Any]) -> dict[str, str]:
    return {"Api-Key": stage.publishable_key, "Authorization": f"Bearer {session['accessToken']}"}


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# --- what is passed on -----------------------------------------------------------------------------------------------


def test_service_and_example_are_real(stage: Stage, http: httpx2.Client) -> None:
    session = log_in(stage, http)
    headers = both(stage, session)
    info = http.get(stage.base_url + "/oauth/token/info", headers=headers)
    assert info.json()["data"]["attributes"]["claims"]["iss"] == stage.auth
    made = http.post(stage.api + "/notes", headers=headers, json={"text": "milk"})
    assert made.status_code == 201, made.text
    revoked = http.post(stage.base_url + "/oauth/token/revoke", headers=headers)
    assert revoked.status_code == 200, revoked.text


def test_headers_are_those_of_the_service(stage: Stage, http: httpx2.Client) -> None:
    answer = http.get(stage.auth + INFO, headers={"Api-Key": stage.publishable_key, "Origin": stage.pages2})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == stage.pages2
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "server" not in answer.headers
    assert answer.headers["connection"] == "close"
    assert http.get(stage.auth + INFO).json()["errors"][0]["code"] == "api_key_missing"


def test_bodies_pass_whole_and_are_noted(stage: Stage, http: httpx2.Client) -> None:
    text = bytes(range(256)) * 4000
    with_length = http.post(stage.other + "/a/%2Fb?c=%20d", content=text)
    without = http.post(stage.other + "/a", content=(text[at : at + 1000] for at in range(0, len(text), 1000)))
    assert with_length.json() == without.json() == {"elsewhere": True}
    assert with_length.headers["access-control-allow-origin"] == "*"
    first, second = stage.journal(target="other", method="POST")
    assert (first.path, first.query) == ("/a/%2Fb", "c=%20d")
    assert "content-length" in first.headers and second.headers["transfer-encoding"] == "chunked"
    for entry in (first, second):
        assert (entry.status, entry.fault) == (200, None)
        assert entry.body_bytes == len(text)
        assert entry.body_sha256 == hashlib.sha256(text).hexdigest()
        assert entry.body == text[:MAX_BODY].decode(errors="replace")


def test_the_journal_is_in_order_with_preflights(stage: Stage, http: httpx2.Client) -> None:
    asked = {"Origin": stage.pages, "Access-Control-Request-Method": "POST"}
    assert http.options(stage.auth + LOGIN, headers=asked).headers["access-control-allow-origin"] == stage.pages
    log_in(stage, http)
    http.get(stage.api + "/notes")
    entries = stage.journal()
    assert [(entry.target, entry.method, entry.path) for entry in entries] == [
        ("auth", "OPTIONS", LOGIN),
        ("auth", "POST", LOGIN),
        ("api", "GET", "/notes"),
    ]
    assert entries[1].headers["api-key"] == stage.publishable_key
    assert json.loads(entries[1].body)["username"] == stage.users[0].username
    assert [entry.status for entry in entries] == [204, 200, 403]
    assert entries == sorted(entries, key=lambda entry: entry.at)
    stage.clear_journal()
    assert stage.journal() == []


# --- faults ----------------------------------------------------------------------------------------------------------


def test_answer(stage: Stage, http: httpx2.Client) -> None:
    action = Answer(503, {"Retry-After": "7"}, {"errors": []})
    stage.add_fault("auth", action, method="GET", path=INFO, times=1)
    asked = {"Origin": stage.pages, "Api-Key": stage.publishable_key}
    answer = http.get(stage.auth + INFO, headers=asked)
    assert (answer.status_code, answer.json()) == (503, {"errors": []})
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == stage.pages
    assert http.get(stage.auth + INFO, headers=asked).status_code == 401
    assert [entry.fault for entry in stage.journal()] == ["answer", None]


def test_answer_without_cors_with_text(stage: Stage, http: httpx2.Client) -> None:
    stage.add_fault("api", Answer(200, {"Content-Type": "text/html"}, "<p>Hello", cors=False), path_prefix="/no")
    answer = http.get(stage.api + "/notes", headers={"Origin": stage.pages})
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "<p>Hello", "text/html")
    assert "access-control-allow-origin" not in answer.headers
    assert http.head(stage.api + "/notes").content == b""
    assert http.get(stage.api + "/health").json()["staleness"] < 60
    assert http.options(stage.api + "/notes").status_code == 405


def test_preflights_meet_only_faults_of_their_own(stage: Stage, http: httpx2.Client) -> None:
    stage.add_fault("auth", Answer(500), method="OPTIONS")
    assert http.options(stage.auth + LOGIN).status_code == 500
    assert http.get(stage.auth + INFO).status_code == 403


def test_redirect(stage: Stage, http: httpx2.Client) -> None:
    stage.add_fault("api", Redirect(stage.other + "/there"))
    answer = http.get(stage.api + "/notes", headers={"Origin": stage.pages})
    assert (answer.status_code, answer.headers["location"]) == (307, stage.other + "/there")
    assert answer.headers["access-control-allow-origin"] == stage.pages
    stage.clear_faults()
    assert http.get(stage.api + "/notes").status_code == 403


def test_strip_cors(stage: Stage, http: httpx2.Client) -> None:
    stage.add_fault("auth", StripCors())
    answer = http.get(stage.auth + INFO, headers={"Origin": stage.pages})
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "x-request-id" in answer.headers


def refresh(stage: Stage, session: dict[str, Any], key: str | None = None) -> bytes:
    """All that a client receives of a refresh, over a socket of its own; raises ConnectionError."""
    body = json.dumps({"refresh_token": session["refreshToken"]})
    head = [f"POST {REFRESH} HTTP/1.1", "Host: stage", "Content-Type: application/json", "Connection: close"]
    head += [f"Api-Key: {key or stage.publishable_key}", f"Content-Length: {len(body)}"]
    host, _, port = stage.auth.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), WITHIN) as connection:
        connection.sendall("\r\n".join([*head, "", body]).encode())
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            return received + b"(reset)"
        return received


def spoilt(stage: Stage, action: AnyAction, session: dict[str, Any]) -> bytes:
    stage.add_fault("auth", action, path=REFRESH, times=1)
    return refresh(stage, session)


def test_drop_before_asks_nobody(stage: Stage, http: httpx2.Client) -> None:
    session = log_in(stage, http)
    assert spoilt(stage, DropBefore(), session) == b""
    assert stage.journal(path=REFRESH)[0].status is None
    assert b" 200 OK" in refresh(stage, session)


def test_drop_after_has_asked(stage: Stage, http: httpx2.Client) -> None:
    """With no retry window, two moves of the chain past a token show as its reuse."""
    session = log_in(stage, http)
    assert spoilt(stage, DropAfter(), session) == b"(reset)"
    assert b"refresh_token_reused" in refresh(stage, session)
    (dropped, reused) = stage.journal(path=REFRESH)
    assert (dropped.status, dropped.fault, reused.status) == (None, "drop_after", 401)


def test_truncate(stage: Stage, http: httpx2.Client) -> None:
    session = log_in(stage, http)
    received = spoilt(stage, Truncate(), session)
    head, _, body = received.removesuffix(b"(reset)").partition(b"\r\n\r\n")
    assert received.endswith(b"(reset)")
    length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
    assert len(body) == length // 2


def test_delay(stage: Stage, http: httpx2.Client) -> None:
    stage.add_fault("other", Delay(50), times=1)
    started = time.monotonic()
    assert http.get(stage.other).status_code == 200
    assert time.monotonic() - started >= 0.05


def test_hang_lasts_until_the_client_goes(stage: Stage, http: httpx2.Client) -> None:
    stage.add_fault("api", Hang())
    with pytest.raises(httpx2.ReadTimeout):
        http.get(stage.api + "/notes", timeout=0.2)
    eventually(stage.journal)
    (entry,) = stage.journal()
    assert (entry.fault, entry.status) == ("hang", None)


@pytest.mark.parametrize("action", [Gate("before"), GateAfter("after")])
def test_gates(stage: Stage, http: httpx2.Client, action: Gate | GateAfter) -> None:
    stage.add_fault("other", action)
    assert stage.waiting(action.name) == 0
    with ThreadPoolExecutor() as threads:
        answers = [threads.submit(http.post, stage.other, content=b"held") for _ in range(3)]
        stage.wait_at_gate(action.name, 3)
        assert [entry.status for entry in stage.journal()] == [None] * 3
        stage.open_gate(action.name)
        assert [answer.result(WITHIN).status_code for answer in answers] == [200] * 3
    assert http.get(stage.other).status_code == 200, "an open gate stays open"
    assert stage.waiting(action.name) == 0


def test_a_gate_after_has_asked(stage: Stage, http: httpx2.Client) -> None:
    session = log_in(stage, http)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(spoilt, stage, GateAfter("answered"), session)
        eventually(lambda: stage.journal(path=REFRESH))
        stage.wait_at_gate("answered")
        assert b"refresh_token_reused" in refresh(stage, session)
        stage.clear_faults()
        assert b" 200 OK" in answer.result(WITHIN)


def test_who_goes_away_waits_no_longer(stage: Stage, http: httpx2.Client) -> None:
    stage.add_fault("api", Gate("left"))
    with pytest.raises(httpx2.ReadTimeout):
        http.get(stage.api + "/notes", timeout=0.2)
    eventually(lambda: stage.waiting("left") == 0)


# --- control ---------------------------------------------------------------------------------------------------------


def test_the_description_is_what_was_printed(stage: Stage, http: httpx2.Client) -> None:
    answer = http.get(stage.control, headers={"Origin": stage.pages})
    assert answer.headers["access-control-allow-origin"] == "*"
    document = answer.json()
    assert document["baseURL"] == stage.base_url == stage.auth + "/v1/api"
    assert document["otherPublishableKey"] == stage.other_publishable_key
    assert len(document["users"]) == 5
    preflight = {"Origin": "null", "Access-Control-Request-Method": "DELETE"}
    assert (
        http.options(stage.control + "/faults", headers=preflight).headers["access-control-allow-methods"] == "DELETE"
    )


def test_a_stage_shows_no_key_and_may_be_sent_elsewhere(stage: Stage) -> None:
    assert "kb" not in repr(stage).replace("keybearer", "")
    assert stage.users[0].password not in repr(stage.users[0])
    assert pickle.loads(pickle.dumps(stage)) == stage  # noqa: S301 - our own


def test_keys(stage: Stage, http: httpx2.Client) -> None:
    assert http.get(stage.auth + INFO, headers={"Api-Key": stage.secret_key}).status_code == 401
    session = log_in(stage, http)
    foreign = {**both(stage, session), "Api-Key": stage.other_publishable_key}
    answer = http.get(stage.auth + INFO, headers=foreign)
    assert answer.json()["errors"][0]["code"] == "access_token_wrong_application"


def test_new_users_and_commands(stage: Stage, http: httpx2.Client) -> None:
    user = stage.new_user()
    session = log_in(stage, http, user)
    ended = stage.command("sessions", "revoke", session["sessionId"], "--json")
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["sessions"] == 1
    assert b"session_revoked" in refresh(stage, session)
    changed = stage.command("users", "set-password", user.username, "--password-stdin", stdin="correct horse battery\n")
    assert changed.status == 0, changed.stderr
    log_in(stage, http, StageUser(user.username, "correct horse battery", user.id))


@pytest.mark.parametrize("kill", [False, True])
def test_the_service_stops_and_starts(stage: Stage, http: httpx2.Client, kill: bool) -> None:
    session = log_in(stage, http)
    stage.stop_service(kill=kill)
    try:
        with pytest.raises(httpx2.RemoteProtocolError):
            http.get(stage.auth + INFO)
        assert refresh(stage, session) == b""
    finally:
        stage.start_service()
    assert b" 200 OK" in refresh(stage, session)
    with pytest.raises(StageRefused, match="running already"):
        stage.start_service()


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"target": "auth", "action": {"kind": "explode"}}, "explode"),
        ({"target": "nobody", "action": {"kind": "hang"}}, "nobody"),
        ({"target": "auth", "action": {"kind": "hang"}, "pathprefix": "/"}, "pathprefix"),
        ({"target": "auth", "action": {"kind": "delay"}}, "ms"),
    ],
)
def test_what_it_does_not_understand_is_said(stage: Stage, document: object, complaint: str) -> None:
    with pytest.raises(StageRefused, match=complaint):
        stage._ask("POST", "/faults", dict, document)
    with pytest.raises(StageRefused, match="No fault has named this gate"):
        stage.waiting("unheard-of")


# --- pages -----------------------------------------------------------------------------------------------------------


def test_pages(stage: Stage, http: httpx2.Client, pages: Path) -> None:
    for origin in (stage.pages, stage.pages2):
        answer = http.get(origin + "/sub/")
        assert answer.text == "<!doctype html><title>Hello</title>"
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["cache-control"] == "no-cache"
        assert "content-security-policy" not in answer.headers
    module = http.get(stage.pages + "/csp/module.mjs")
    assert module.headers["content-type"].startswith("text/javascript")
    policy = module.headers["content-security-policy"]
    assert f"connect-src 'self' {stage.auth} {stage.api} {stage.other};" in policy
    (pages / "later.css").write_text("p {}")
    assert http.get(stage.pages + "/later.css").text == "p {}"
    for path in ("/none.js", "/%2e%2e/%2e%2e/etc/passwd", "/sub/..%2f..%2f..%2fetc/passwd", "/%00"):
        assert http.get(stage.pages + path).status_code == 404


# --- beginning and end -----------------------------------------------------------------------------------------------


@contextmanager
def launched(directory: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A stage whose temporary files are in the directory; ended gently in any case."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.stage", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def children_of(process: psutil.Process) -> set[psutil.Process]:
    return set(process.children(recursive=True))


def test_nothing_is_left_of_a_stage(tmp_path: Path, http: httpx2.Client) -> None:
    """Of one that is told to end, and of one that ends with its input; in that one an access token lives a second."""
    temporary, kept = tmp_path / "temporary", tmp_path / "kept"
    temporary.mkdir()
    before = children_of(psutil.Process())
    with launched(temporary) as told:
        with running_stage({"KEYBEARER_ACCESS_TOKEN_LIFETIME": "1"}, keep=kept) as stage:
            assert told.stdout is not None
            assert json.loads(told.stdout.readline())["auth"].startswith("http://127.0.0.1:")
            children = children_of(psutil.Process()) - before
            assert len(children) == 2 * 3
            headers = both(stage, log_in(stage, http))
            eventually(lambda: "access_token_expired" in http.get(stage.api + "/notes", headers=headers).text)
        told.send_signal(signal.SIGTERM)
        assert told.wait(WITHIN) == 0
    assert not [child for child in children if child.is_running()]
    assert not list(temporary.iterdir())
    assert {"keybearer.db", "service.log", "example.log"} <= {file.name for file in kept.iterdir()}


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("KEYBEARER_PROT=1", "stage: KEYBEARER_PROT is not a setting."),
        ("KEYBEARER_ACCESS_TOKEN_LIFETIME=soon", "stage: KEYBEARER_ACCESS_TOKEN_LIFETIME takes seconds."),
    ],
)
def test_a_wrong_setting_is_said(tmp_path: Path, setting: str, complaint: str) -> None:
    with launched(tmp_path, "--setting", setting) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(WITHIN) != 0
    assert complaint in said
    assert "Traceback" not in said


# --- without a socket ------------------------------------------------------------------------------------------------


def test_the_first_fault_that_meets_is_taken_as_often_as_it_says() -> None:
    faults = Faults(Gates())
    faults.add(Fault("auth", Delay(1), path="/a", times=2))
    faults.add(Fault("auth", Delay(2), path_prefix="/a"))
    taken = [faults.take("auth", "GET", path) for path in ("/a", "/ab", "/a", "/a", "/b")]
    assert taken == [Delay(1), Delay(2), Delay(1), Delay(2), None]
    assert faults.take("api", "GET", "/a") is None


def test_a_new_fault_closes_its_gate_again() -> None:
    gates = Gates()
    faults = Faults(gates)
    faults.add(Fault("auth", Gate("g")))
    assert gates.waiting("g") == 0
    assert gates.open("g") and gates._opened["g"].is_set()
    faults.add(Fault("auth", Gate("g")))
    assert not gates._opened["g"].is_set()


def test_the_journal_is_bounded() -> None:
    journal = Journal()
    for number in range(MAX_ENTRIES + 2):
        journal.add(Record("auth", "GET", f"/{number}", "", {}, None))
    entries = journal.entries()
    assert (len(entries), entries[0].path) == (MAX_ENTRIES, "/2")
