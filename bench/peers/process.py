"""A peer's server as a process of its own, pinned to the server's core."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx2
import psutil

from bench.service import SERVER_CORE
from tests.support.ports import free_port

PEERS = Path(__file__).parent
START_SECONDS = 60.0


def prepare(peer: str, directory: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Have a peer make its data."""
    environment = {**os.environ, "BENCH_DIRECTORY": str(directory), **(environment or {})}
    subprocess.run(command, cwd=PEERS / peer, env=environment, check=True)


def python(peer: str) -> str:
    """The interpreter of its environment."""
    return str(PEERS / peer / ".venv" / "bin" / "python")


class PeerProcess:
    """A peer's server; a context manager. `{port}` in the command stands for the port that it is to listen at."""

    def __init__(self, peer: str, directory: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._command = [part.format(port=self._port) for part in command]
        self._peer = peer
        self._log = directory / "service.log"
        self._environment = {**os.environ, "BENCH_DIRECTORY": str(directory), **environment}

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ("taskset", "-c", str(SERVER_CORE), *self._command),
                cwd=PEERS / self._peer,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def memory(self) -> int:
        """Of the largest process: the others only watch over it."""
        process = psutil.Process(self._process.pid)
        return max(int(one.memory_info().rss) for one in (process, *process.children(recursive=True)))

    def _wait(self) -> None:
        """Until it answers; whatever it says to a path that it may not know."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                httpx2.get(self.url, timeout=START_SECONDS)
            except httpx2.ConnectError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"{self._peer} did not start: {self._log.read_text()[-2000:]}")

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
