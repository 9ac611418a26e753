"""Where a session is kept: what a store holds, what becomes of a damaged one, and what many processes do to it."""

import asyncio
import json
import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import keyring
import keyring.backend
import pytest

from keybearer.client import (
    AsyncClient,
    AsyncTokenStore,
    Client,
    ConfigurationError,
    FileStore,
    KeyringStore,
    MemoryStore,
    StoreError,
    StoreWarning,
    TokenStore,
)
from keybearer.client._record import Record, Session, User, dump, parse
from tests.client.acting import (
    KEY,
    REFRESH,
    log_in,
    make_client,
    record_of,
    refreshes,
    session_of,
    signed_in,
    spoil,
    spoil_in_memory,
)
from tests.stage.client import Stage, running_stage

USER = User("u", "jane@example.com", "Jane", "Doe")
SESSION = Session("a.b.c", "kbr_x", 1000.5, 900, "s", USER)
RECORD = Record("https://auth.example.com:443/v1/api", 3, 4, "key", None, SESSION)


class InMemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring without a desktop."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def desktop() -> Iterator[InMemoryKeyring]:
    before = keyring.get_keyring()
    keyring.set_keyring(made := InMemoryKeyring())
    yield made
    keyring.set_keyring(before)


@pytest.fixture(params=["memory", "file", "keyring"])
def store(request: pytest.FixtureRequest, tmp_path: Path, desktop: InMemoryKeyring) -> TokenStore:
    """Each store in turn."""
    stores: dict[str, Callable[[], TokenStore]] = {
        "memory": MemoryStore,
        "file": lambda: FileStore(tmp_path / "session.json"),
        "keyring": lambda: KeyringStore("keybearer", "jane", lock_directory=tmp_path / "locks"),
    }
    return stores[request.param]()


@pytest.fixture(scope="module")
def strict() -> Iterator[Stage]:
    """Access tokens live for a second, and whoever redeems a refresh token a second time ends the session."""
    settings = {"KEYBEARER_ACCESS_TOKEN_LIFETIME": "1", "KEYBEARER_REFRESH_RETRY_WINDOW": "0"}
    with running_stage(settings) as stage:
        yield stage


# --- one contract for all --------------------------------------------------------------------------------------------


def test_a_store_keeps_one_text(store: TokenStore) -> None:
    assert isinstance(store, TokenStore)
    assert store.read() is None
    assert store.replace(None, "one")
    assert store.read() == "one"
    assert store.replace("one", "zwölf")
    assert store.read() == "zwölf"


def test_a_store_writes_over_what_is_expected_only(store: TokenStore) -> None:
    assert not store.replace("one", "two")
    assert store.read() is None
    assert store.replace(None, "one")
    assert not store.replace(None, "two")
    assert not store.replace("two", "three")
    assert store.read() == "one"


def test_a_store_sets_aside_what_is_there_only(store: TokenStore) -> None:
    store.replace(None, "one")
    store.set_aside("two")
    assert store.read() == "one"
    assert store.set_aside("one")
    assert store.read() is None
    store.set_aside("one")


def test_a_lock_is_held_by_one(store: TokenStore) -> None:
    with store.lock(1) as held:
        assert held
        answers: list[bool] = []

        def wait() -> None:
            with store.lock(0.05) as also:
                answers.append(also)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(60)
        assert answers == [False]
        assert store.replace(None, "read and replace work meanwhile")
    with store.lock(0) as held:
        assert held


def test_one_writer_of_many_wins(store: TokenStore) -> None:
    barrier = threading.Barrier(8)
    won: list[int] = []

    def write(number: int) -> None:
        barrier.wait(60)
        if store.replace(None, str(number)):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(won) == 1
    assert store.read() == str(won[0])


def test_a_store_shows_nothing_and_can_be_pickled(store: TokenStore) -> None:
    store.replace(None, "secret")
    assert "secret" not in repr(store)
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert copy.read() == "secret"
    with copy.lock(1) as held:
        assert held


def test_a_session_outlives_its_client(stage: Stage, store: TokenStore) -> None:
    client = signed_in(stage, store=store)
    client.refresh()
    again = make_client(stage, store=store)
    assert again.signed_in
    assert again.profile().id == stage.users[0].id
    again.logout()
    assert not make_client(stage, store=store).signed_in
    assert "kbr_" not in (store.read() or "")
    log_in(again, stage, 1)
    assert record_of(again).generation == 3


def test_a_logout_elsewhere_is_seen_at_the_next_401(stage: Stage, store: TokenStore) -> None:
    client, other = signed_in(stage, store=store), make_client(stage, store=store)
    other.profile()
    client.logout()
    with httpx.Client(auth=other.auth) as http:
        assert http.get(f"{stage.api}/notes").status_code == 401
    assert not other.signed_in
    assert refreshes(stage) == 0


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_record_is_read_as_it_was_written() -> None:
    for record in (RECORD, Record("s"), Record("s", 2, 0, None, "expired"), Record("s", 2, 0, None, "logout")):
        assert parse(dump(record)) == record


def test_a_record_shows_no_credential() -> None:
    for secret in ("a.b.c", "kbr_x", "'key'"):
        assert secret not in repr(RECORD)


def altered(*path: str, value: object) -> str:
    members = json.loads(dump(RECORD))
    place = members
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(members)


CORRUPT = {
    "nothing": "",
    "half": dump(RECORD)[: len(dump(RECORD)) // 2],
    "no json": "kbr_x",
    "a list": "[]",
    "null": "null",
    "no version": "{}",
    "version 0": altered("version", value=0),
    "version true": altered("version", value=True),
    "version text": altered("version", value="1"),
    "deep": "[" * 60_000,
    "long": altered("service", value="x" * 70_000),
    "a long number": altered("revision", value=0).replace('"revision": 0', f'"revision": {"9" * 5000}'),
    "a negative count": altered("generation", value=-1),
    "a fraction": altered("revision", value=1.5),
    "no count": altered("generation", value=True),
    "a huge count": altered("revision", value=2**60),
    "an unknown end": altered("ended", value="somehow"),
    "an end of a list": altered("ended", value=[]),
    "a session of text": altered("session", value="s"),
    "no user": altered("session", "user", value=None),
    "no session id": altered("session", "sessionId", value=7),
    "no expiry": altered("session", "expiresAt", value=None),
    "an expiry of text": altered("session", "expiresAt", value="soon"),
    "NaN": altered("session", "expiresAt", value=float("nan")),
    "an infinite lifetime": altered("session", "lifetime", value=float("inf")),
    "an expiry of thousands of digits": altered("session", "expiresAt", value=10**400),
    **{
        f"a token with {name}": altered("session", "accessToken", value=f"a.b{character}c")
        for name, character in {
            "a line break": "\n",
            "a NUL": "\0",
            "a space": " ",
            "an emoji": "😀",
            "U+2028": "\u2028",
            "a surrogate": "\ud800",
            "a quote": '"',
            "an umlaut": "ä",
        }.items()
    },
    "an empty token": altered("session", "refreshToken", value=""),
    "an endless token": altered("session", "refreshToken", value="a" * 9000),
    "a key with a line break": altered("idempotencyKey", value="a\nb"),
    "prototype keys": '{"__proto__": {"version": 1}, "constructor": 1}',
}


@pytest.mark.parametrize("text", CORRUPT.values(), ids=CORRUPT)
def test_a_damaged_file_is_moved_aside(stage: Stage, tmp_path: Path, text: str) -> None:
    path = tmp_path / "session.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    client = make_client(stage, store=FileStore(path))
    with pytest.warns(StoreWarning, match=r"session\.json\.corrupt") as caught:
        assert not client.signed_in
    assert "a.b" not in str(caught[0].message)
    assert (tmp_path / "session.json.corrupt").read_bytes() == text.encode("utf-8", "surrogatepass")
    assert not path.exists()
    with httpx.Client(auth=client.auth) as http:
        assert http.get(f"{stage.other}/x").status_code == 200
        assert http.get(f"{stage.api}/notes").status_code == 401
    log_in(client, stage)
    assert parse(path.read_text()).session == session_of(client)


def test_a_damaged_entry_of_a_keyring(stage: Stage, tmp_path: Path, desktop: InMemoryKeyring) -> None:
    store = KeyringStore("keybearer", "jane", lock_directory=tmp_path)
    store.replace(None, "kbr_secret")
    client = make_client(stage, store=store)
    with pytest.warns(StoreWarning) as caught:
        assert not client.signed_in
    assert "kbr_secret" not in str(caught[0].message)
    log_in(client, stage)
    assert client.signed_in


def test_a_newer_version_is_left_alone(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    text = altered("version", value=2)
    path.write_text(text)
    client = make_client(stage, store=FileStore(path))
    operations: list[Callable[[], Any]] = [
        lambda: client.signed_in,
        client.profile,
        client.refresh,
        client.logout,
        lambda: httpx.Client(auth=client.auth).get(f"{stage.api}/notes"),
    ]
    for operation in operations:
        with pytest.raises(StoreError, match="upgrade keybearer"):
            operation()
    with pytest.raises(StoreError, match="upgrade keybearer"):
        log_in(client, stage)
    assert path.read_text() == text
    assert client.signed_in, "in memory"
    client.profile()


def test_a_session_of_another_service_is_left_alone(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text(dump(RECORD))
    client = make_client(stage, store=FileStore(path))
    with pytest.raises(ConfigurationError, match="a store of its own"):
        client.profile()
    with pytest.raises(ConfigurationError):
        log_in(client, stage)
    assert path.read_text() == dump(RECORD)


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "session.json"
    store = FileStore(path)
    old = os.umask(0)
    try:
        store.replace(None, "one")
        path.chmod(0o644)
        store.replace("one", "two")
        with store.lock(1):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_draft_is_no_link_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "session.json.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        FileStore(tmp_path / "session.json").replace(None, "one")
    assert (tmp_path / "elsewhere").read_text() == "mine"


def blocked(tmp_path: Path, how: str) -> Path:
    """A path that nothing can be written to; root may write everywhere, so permissions alone are not enough."""
    match how:
        case "a directory is a file":
            (tmp_path / "file").write_text("")
            return tmp_path / "file" / "session.json"
        case "the path is a directory":
            (tmp_path / "session.json").mkdir()
            return tmp_path / "session.json"
        case _:
            return Path("/proc/keybearer/session.json")


@pytest.mark.parametrize("how", ["a directory is a file", "the path is a directory", "no such place"])
def test_a_path_that_cannot_be_written(stage: Stage, tmp_path: Path, how: str) -> None:
    path = blocked(tmp_path, how)
    client = make_client(stage, store=FileStore(path))
    with pytest.raises(StoreError, match="writable for this user"):
        log_in(client, stage)
    assert client.signed_in, "in memory"
    spoil_in_memory(client)
    client.profile()
    assert refreshes(stage) == 1
    with pytest.raises(StoreError):
        client.logout()
    assert client.user is None
    assert stage.journal("auth")[-1].path.endswith("/revoke")
    assert stage.journal("auth")[-1].status == 200


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from keybearer.client import FileStore, StoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = FileStore(sys.argv[1])
store.replace(None, "before")
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    store.replace("before", "x" * 1000)
except StoreError as error:
    print(error.code, error)
print(store.read())
"""


def test_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith(f"store_error {path} could not be written: File too large.")
    assert second == "before"


def test_a_frozen_writer_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keybearer.client.stores._file._WRITE_WAIT", 0.05)
    store = FileStore(tmp_path / "session.json")
    with store._writing.hold(1), pytest.raises(StoreError, match="another process"):
        store.replace(None, "one")


KILLED = """
import os, random, signal, sys, time
from keybearer.client import Client, FileStore
from keybearer.client._record import parse

path, url, key, username, password = sys.argv[1:]
chance = random.Random(5)

def client():
    return Client(url, api_key=key, store=FileStore(path))

def refresh_without_end():
    mine = client()
    while True:
        mine.refresh()

client().login(username, password)
began = time.monotonic()
client().refresh()
once = time.monotonic() - began
for attempt in range(200):
    child = os.fork()
    if child == 0:
        refresh_without_end()
    time.sleep(chance.uniform(0.0, 3 * once))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert parse(open(path).read()).session is not None, attempt
    if attempt % 20 == 19:
        began = time.monotonic()
        client().refresh()
        once = time.monotonic() - began
print(parse(open(path).read()).revision, *sorted(os.listdir(os.path.dirname(path))))
"""


@pytest.mark.slow
def test_processes_that_are_killed_leave_a_whole_file_and_a_session(strict: Stage, tmp_path: Path) -> None:
    """In the middle of a write, or of anything else."""
    user = strict.users[2]
    arguments = [strict.base_url, strict.publishable_key, user.username, user.password]
    command = [sys.executable, "-c", KILLED, str(tmp_path / "session.json"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    revision, *files = done.stdout.split()
    assert int(revision) > 20
    assert set(files) <= {"session.json", "session.json.lock", "session.json.new", "session.json.writing"}


SHARING = """
import sys, httpx
from keybearer.client import Client, FileStore

path, url, key, api = sys.argv[1:]
client = Client(url, api_key=key, origins=[api], store=FileStore(path))
http = httpx.Client(auth=client.auth, timeout=60)
sys.stdin.read()
for number in range(50):
    client.refresh()
    if number % 5 == 0:
        # 401 where the token's second has passed before the retry arrived.
        assert http.get(f"{api}/notes").status_code in (200, 401)
print("signed in", client.signed_in)
"""


@pytest.mark.slow
def test_twenty_processes_share_a_session(strict: Stage, tmp_path: Path) -> None:
    """1,000 refreshes, of access tokens that live for a second; whoever redeemed an old token would end the session."""
    strict.reset()
    store = FileStore(tmp_path / "session.json")
    client = signed_in(strict, store=store)
    command = [sys.executable, "-c", SHARING, str(tmp_path / "session.json")]
    arguments = [strict.base_url, strict.publishable_key, strict.api]
    processes = [
        subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(20)
    ]
    try:
        outputs = [process.communicate(timeout=200)[0] for process in start_together(processes)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert outputs == ["signed in True\n"] * 20
    statuses = {entry.status for entry in strict.journal("auth", path=REFRESH)}
    assert statuses == {200}
    assert 50 <= refreshes(strict) <= 1500
    client.refresh()


def start_together(processes: list["subprocess.Popen[str]"]) -> list["subprocess.Popen[str]"]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    return processes


# --- stores of the program's own -------------------------------------------------------------------------------------


class Broken(MemoryStore):
    """A store that fails when it is told to."""

    failing = False

    def read(self) -> str | None:
        if self.failing:
            raise OSError("the disk is gone")
        return super().read()

    def replace(self, expected: str | None, text: str) -> bool:
        if self.failing:
            raise RuntimeError("no")
        return super().replace(expected, text)

    @contextmanager
    def lock(self, timeout: float) -> Iterator[bool]:
        if self.failing:
            raise KeyError("no")
        with super().lock(timeout) as held:
            yield held


def test_a_store_that_fails_later_ends_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    store = Broken()
    client = signed_in(stage, store=store)
    store.failing = True
    spoil_in_memory(client)
    client.profile()
    client.refresh()
    assert refreshes(stage) == 2
    assert "The session goes on in this process" in caplog.text
    assert "kbr_" not in caplog.text
    store.failing = False
    client.refresh()
    assert make_client(stage, store=store).profile().id == stage.users[0].id


def test_a_store_that_fails_at_first_is_told(stage: Stage) -> None:
    store = Broken()
    store.failing = True
    client = make_client(stage, store=store)
    with pytest.raises(StoreError, match="OSError"):
        client.profile()
    with pytest.raises(StoreError):
        log_in(client, stage)
    assert client.signed_in


class Held(MemoryStore):
    """Its lock is held by a process that is frozen."""

    @contextmanager
    def lock(self, timeout: float) -> Iterator[bool]:
        yield False


def test_a_lock_that_is_never_free_keeps_nobody_from_refreshing(stage: Stage) -> None:
    client = signed_in(stage, store=Held())
    spoil(client)
    client.profile()
    assert refreshes(stage) == 1


class AsyncStore:
    """A store of a program that does everything with `await`."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.loops: set[int] = set()
        self.locked = asyncio.Lock()

    async def read(self) -> str | None:
        self.loops.add(id(asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return self.text

    async def replace(self, expected: str | None, text: str) -> bool:
        await asyncio.sleep(0)
        if self.text != expected:
            return False
        self.text = text
        return True

    async def set_aside(self, text: str) -> str:
        self.text = None
        return "it was dropped"

    @asynccontextmanager
    async def lock(self, timeout: float) -> AsyncIterator[bool]:  # noqa: ASYNC109 - as AsyncTokenStore.lock
        async with asyncio.timeout(timeout), self.locked:
            yield True


async def test_a_store_that_is_awaited(stage: Stage) -> None:
    store = AsyncStore()
    assert isinstance(store, AsyncTokenStore)
    options: dict[str, Any] = {"api_key": stage.publishable_key, "origins": [stage.api], "store": store}
    async with AsyncClient(stage.base_url, **options) as client, httpx.AsyncClient(auth=client.auth) as http:
        await client.login(stage.users[0].username, stage.users[0].password)
        store.text = (store.text or "").replace(session_of(client).access_token, "a.b.c")
        spoil_in_memory(client)
        answers = await asyncio.gather(*(http.get(f"{stage.api}/notes") for _ in range(50)))
        assert [answer.status_code for answer in answers] == [200] * 50
        assert refreshes(stage) == 1
        assert not store.locked.locked()
    assert store.loops == {id(asyncio.get_running_loop())}
    async with AsyncClient(stage.base_url, **options) as client:
        assert client.signed_in
        await client.logout()
    assert "kbr_" not in (store.text or "")


def test_a_store_that_is_awaited_needs_tasks(stage: Stage) -> None:
    with pytest.raises(ConfigurationError, match="AsyncClient"):
        make_client(stage, store=AsyncStore())
    client = AsyncClient(stage.base_url, api_key=stage.publishable_key, origins=[stage.api], store=AsyncStore())
    with httpx.Client(auth=client.auth) as http, pytest.raises(ConfigurationError, match="tasks"):
        http.get(f"{stage.api}/notes")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_store(kind: Any) -> None:
    for store in (object(), "path", 7):
        with pytest.raises(ConfigurationError):
            kind("https://auth.example.com", api_key=KEY, store=store)


def test_the_keyring_is_an_extra() -> None:
    program = (
        "import sys; sys.modules['keyring'] = None\n"
        "from keybearer.client import KeyringStore, ConfigurationError\n"
        "try: KeyringStore('a', 'b')\n"
        "except ConfigurationError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'keybearer[keyring]'" in done.stdout
