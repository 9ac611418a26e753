"""What a demo runs, each in a process of its own, which the demo starts, watches and stops."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx2

HOST = "127.0.0.1"

START_WITHIN = 60.0
"""Seconds until a process must be ready; a first start on a slow disk takes a few."""

STOP_WITHIN = 15.0
"""Seconds until a process that was asked to stop is killed; more than its own grace."""

LOG_LINES = 15
"""Lines of the log that are shown when a process has died."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and, where it is known, what to do."""


class Home:
    """The directory of a demo. `environment` is that of the service and of every command about its database.

    `mark` stands in the command line of every process of this demo, and in no other's.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory.resolve()
        self.database = f"sqlite:///{self.path / 'keybearer.db'}"
        self.state = self.path / "demo.json"
        self.mark = f"keybearer_demo={self.path}"

    def log(self, name: str) -> Path:
        return self.path / f"{name}.log"

    def pid(self, name: str) -> Path:
        return self.path / f"{name}.pid"

    def environment(self) -> dict[str, str]:
        """Ours, but with no settings in it except those of the demo."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYBEARER_")}
        return clean | {"KEYBEARER_DATABASE": self.database, "KEYBEARER_SHUTDOWN_GRACE": "5"}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the directory, and keep other demos out of it until the block ends. Raises DemoError.

        What an earlier demo left behind, because it was killed, is stopped first.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / "demo.lock").open("w")
        except OSError as error:
            raise DemoError(f"{self.path} cannot be used: {error.strerror}.") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DemoError(f"A demo is already running in {self.path}. Stop it, or choose --data-dir.") from None
            _stop_left_behind(self)
            yield


@dataclass(frozen=True, slots=True)
class Program:
    """Something in Python. `name` is that of its log, `title` what messages call it; `health` answers 200 when up."""

    name: str
    title: str
    health: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)


@contextmanager
def running(home: Home, program: Program) -> Iterator["DemoProcess"]:
    """A process of the program that is ready, until the block ends. Raises DemoError. The home must be held."""
    process = DemoProcess(home, program)
    try:
        process.start()
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


def make_service(home: Home, port: int) -> Program:
    """The authentication service, on the demo's database."""
    command = ("-m", "keybearer", "serve", "--port", str(port), "--database", home.database)
    return Program("service", "service", f"http://{HOST}:{port}/health/ready", command, home.environment())


class DemoProcess:
    def __init__(self, home: Home, program: Program) -> None:
        self._program = program
        self._mark = home.mark
        self._log = home.log(program.name)
        self._pid = home.pid(program.name)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """The process writes its id before it becomes the program, so that none is ever left unknown.

        It has a session of its own: a Ctrl-C is for the demo, which stops the process.
        """
        shell = ("/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._pid))
        python = (sys.executable, "-X", self._mark)  # -X lets anything stand there
        with _open_log(self._log) as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, without a shell's reading of it
                [*shell, *python, *self._program.command],
                env=self._program.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Raises DemoError when the process dies or takes longer than `START_WITHIN`."""
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline:
            ready = self._is_ready()
            self.check_alive()
            if ready:
                return
            time.sleep(0.05)
        raise DemoError(f"The {self._program.title} was not ready within {START_WITHIN:.0f} s.\n{self._last_lines()}")

    def check_alive(self) -> None:
        """Raises DemoError, with the end of the log, when the process has ended."""
        status = self._process.poll() if self._process is not None else None
        if status is not None:
            raise DemoError(f"The {self._program.title} has ended (status {status}).\n{self._last_lines()}")

    def wait(self) -> None:
        """Until the process ends by itself, which is a DemoError."""
        if self._process is not None:
            self._process.wait()
        self.check_alive()

    def stop(self) -> None:
        """Let requests finish, and end the process. Signals that ask for what is under way already are ignored."""
        if self._process is None:
            return
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
        try:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._pid.unlink(missing_ok=True)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(self._program.health, timeout=2, trust_env=False).status_code == 200
        except httpx2.RequestError:
            return False

    def _last_lines(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"The end of {self._log}:", *(f"    {line}" for line in lines)])


def _open_log(path: Path) -> IO[bytes]:
    """The log of this run, readable by its owner only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600), "wb")


def check_port(title: str, port: int, option: str) -> None:
    """Raises DemoError when what `title` names could not listen there; `option` chooses another port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise DemoError(
                f"The {title} cannot listen on {HOST}:{port}: {error.strerror}. Stop what listens there, or choose "
                f"another port with {option}."
            ) from None


def _stop_left_behind(home: Home) -> None:
    for file in home.path.glob("*.pid"):
        try:
            pid = int(file.read_text())
        except (OSError, ValueError):
            continue
        _stop(home, pid)
        file.unlink(missing_ok=True)


def _stop(home: Home, pid: int) -> None:
    deadline = time.monotonic() + STOP_WITHIN
    number = signal.SIGTERM
    while _is_of(home, pid):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        time.sleep(0.1)


def _is_of(home: Home, pid: int) -> bool:
    """Whether the process is this demo's; its number may have gone to another one since."""
    return home.mark in _command_line(pid)


def _command_line(pid: int) -> str:
    """What a process was started with; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="surrogateescape").replace("\0", " ")
    except OSError:
        pass
    with suppress(OSError):
        command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return ""
