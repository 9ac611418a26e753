"""The service and the example, each a process of its own, and commands about their database."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.stage.documents import Command, CommandEnded

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "fastapi-service" / "service.py"

START_WITHIN = 60.0
"""Seconds until a process must answer; on a busy machine it takes a few."""

STOP_WITHIN = 5.0
"""Seconds until a process that was asked to stop is killed; more than the grace that the service is given."""

LOG_LINES = 20
"""Lines of the log that are shown when a process has died."""

KEYBEARER = ("-m", "keybearer")


class StageError(Exception):
    """The stage cannot be set up, or what was asked of it cannot be done; the message says why."""


class Child:
    """A Python process that answers at `health`. It can be stopped and started again."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], health: str, log: Path) -> None:
        self._words = words
        self._environment = environment
        self._health = health
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, session: ClientSession) -> None:
        """From when it answers. Raises StageError, also when it is running."""
        if self._process is not None:
            raise StageError("It is running already.")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self._words),
                cwd=self._log.parent,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the stage, which stops its children
            )
        deadline = time.monotonic() + START_WITHIN
        while not await self._answers(session):
            if self._process.returncode is not None or time.monotonic() > deadline:
                raise StageError(f"{self._log.stem} does not answer.\n{self._last_lines()}")
            await asyncio.sleep(0.02)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Until it has ended; nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _answers(self, session: ClientSession) -> bool:
        try:
            async with session.get(self._health, timeout=ClientTimeout(total=2)) as answer:
                return answer.status == 200
        except (ClientError, TimeoutError):
            return False

    def _last_lines(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(f"    {line}" for line in lines)


async def run_command(command: Command, environment: Mapping[str, str], directory: Path) -> CommandEnded:
    """`keybearer` with these arguments, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *KEYBEARER, *command.arguments),
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate(command.stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return CommandEnded(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


def clean_environment() -> dict[str, str]:
    """Ours without anybody's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("KEYBEARER_", "NOTES_"))}
