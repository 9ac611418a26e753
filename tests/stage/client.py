"""A stage for pytest: `with running_stage() as stage`, in processes of its own, and its control API.

    with running_stage({"KEYBEARER_ACCESS_TOKEN_LIFETIME": "2"}) as stage:
        stage.add_fault("auth", Answer(503), path="/v1/api/oauth/token/refresh", times=1)
        ...
        assert len(stage.journal(target="auth", path="/v1/api/oauth/token/refresh")) == 2

A `Stage` holds no connection: it may be used by any thread, after a fork, and pickled.
"""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from tests.stage.documents import Command, CommandEnded, Description, StageUser
from tests.stage.faults import AnyAction, Fault, Target
from tests.stage.journal import Entry

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]

WITHIN = 120.0
"""Seconds after which what does not happen has failed."""


class StageRefused(Exception):
    """The stage did not do what it was asked; the message is its own."""


class Stage(Description, frozen=True):
    """A running stage: where everything is, and what can be asked of it."""

    def add_fault(
        self,
        target: Target,
        action: AnyAction,
        *,
        method: str | None = None,
        path: str | None = None,
        path_prefix: str | None = None,
        times: int | None = None,
    ) -> str:
        """The fault's id. A fault that names no method meets all but OPTIONS; without `times` it stays."""
        fault = Fault(target, action, method, path, path_prefix, times)
        return self._ask("POST", "/faults", dict[str, str], fault)["id"]

    def clear_faults(self) -> None:
        """Remove all, and open every gate."""
        self._ask("DELETE", "/faults", Any)

    def open_gate(self, name: str) -> None:
        self._ask("POST", f"/gates/{name}/open", Any)

    def waiting(self, name: str) -> int:
        """How many requests a gate holds at this moment."""
        return self._ask("GET", f"/gates/{name}", dict[str, int])["waiting"]

    def wait_at_gate(self, name: str, count: int = 1) -> None:
        """Until that many requests wait there."""
        deadline = time.monotonic() + WITHIN
        while self.waiting(name) < count:
            assert time.monotonic() < deadline, f"{count} requests were to wait at {name}; {self.waiting(name)} do"
            time.sleep(0.01)

    def journal(
        self, target: Target | None = None, *, method: str | None = None, path: str | None = None
    ) -> list[Entry]:
        """The requests so far, in order; preflights among them, unless `method` says otherwise."""
        return [
            entry
            for entry in self._ask("GET", "/journal", list[Entry])
            if entry.target == (target or entry.target)
            and entry.method == (method or entry.method)
            and entry.path == (path or entry.path)
        ]

    def clear_journal(self) -> None:
        self._ask("DELETE", "/journal", Any)

    def reset(self) -> None:
        """No faults, no gates, an empty journal."""
        self.clear_faults()
        self.clear_journal()

    def new_user(self) -> StageUser:
        return self._ask("POST", "/users", StageUser)

    def command(self, *arguments: str, stdin: str = "") -> CommandEnded:
        """`keybearer` with these arguments, on the service's database."""
        return self._ask("POST", "/command", CommandEnded, Command(arguments, stdin))

    def stop_service(self, *, kill: bool = False) -> None:
        """Until it has ended. Its proxy then closes every connection."""
        self._ask("POST", "/service/stop", Any, {"signal": "KILL" if kill else "TERM"})

    def start_service(self) -> None:
        """Until it answers, with the database of before."""
        self._ask("POST", "/service/start", Any)

    def _ask(self, method: str, path: str, answers: type[T], document: object = None) -> T:
        """Raises StageRefused."""
        connection = http.client.HTTPConnection(urlsplit(self.control).netloc, timeout=WITHIN)
        try:
            body = msgspec.json.encode(document) if document is not None else None
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise StageRefused(text.decode(errors="replace"))
        return msgspec.json.decode(text, type=answers)


@contextmanager
def running_stage(
    settings: Mapping[str, str] | None = None, *, pages: Path | None = None, keep: Path | None = None
) -> Iterator[Stage]:
    """A stage with these settings of the service, until the block ends; it ends too if this process dies."""
    words = [word for name, value in (settings or {}).items() for word in ("--setting", f"{name}={value}")]
    words += ["--pages", str(pages)] if pages is not None else []
    words += ["--keep", str(keep)] if keep is not None else []
    command = [sys.executable, "-m", "tests.stage", *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise StageRefused("The stage has not started; what it said stands on standard error.")
            yield msgspec.json.decode(line, type=Stage)
        finally:
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(WITHIN)
            process.kill()
