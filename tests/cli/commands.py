"""Runs `keybearer` commands: in this process for breadth, in one of its own for the main line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from typer.testing import CliRunner

from keybearer.server.cli.main import app
from tests.support.ports import free_port

PASSWORD = "correct horse battery"
KEY_ENCRYPTION_KEY = "K" * 42 + "E"
WITHIN = 120.0
"""Seconds after which what does not happen has failed."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


@dataclass(slots=True)
class Commands:
    """Commands on one database, in a directory of their own. `settings` are theirs, as variables."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, stdin: str | None = None, **settings: str) -> Ended:
        """In this process. An exception that a command lets through fails the test."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment(settings))
        try:
            result = CliRunner().invoke(app, words, input=stdin, prog_name="keybearer", catch_exceptions=False)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Ended(result.exit_code, result.stdout, result.stderr)

    def json(self, *words: str, stdin: str | None = None) -> Any:
        return self.run(*words, "--json", stdin=stdin).json()

    def spawn(self, *words: str, stdin: str = "", **settings: str) -> Ended:
        """In a process of its own, as from a shell."""
        with self._process(*words, **settings) as process:
            out, err = process.communicate(stdin, timeout=WITHIN)
        return Ended(process.returncode, out, err)

    @contextmanager
    def serving(self, *options: str, port: int | None = None, **settings: str) -> Iterator["Serving"]:
        """`keybearer serve`, from when it is ready; killed in the end if it has not ended by itself."""
        port = port or free_port()
        with self._process("serve", "--port", str(port), *options, **settings) as process:
            try:
                serving = Serving(process, f"http://127.0.0.1:{port}")
                serving.wait_until_ready()
                yield serving
            finally:
                if process.poll() is None:
                    process.kill()

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYBEARER_")}
        return {**clean, "COLUMNS": "200", "NO_COLOR": "1", **self.settings, **settings}

    def _process(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "keybearer", *words],
            cwd=self.directory,
            env=self.environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )


@dataclass(slots=True)
class Serving:
    process: subprocess.Popen[str]
    url: str

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the service has ended: {self.process.communicate()}")
            try:
                if httpx2.get(f"{self.url}/health/ready", trust_env=False).status_code == 200:
                    return
            except httpx2.RequestError:
                pass
            time.sleep(0.05)
        raise AssertionError("the service is not ready")

    def stop(self, number: int) -> Ended:
        """Send a signal; how the service ended, with its log as `err`."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WITHIN)
        return Ended(self.process.returncode, out, err)
