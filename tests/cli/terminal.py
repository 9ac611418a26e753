"""`keybearer` at a terminal, where it can ask."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.cli.commands import WITHIN, Ended

OPEN_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.executable, sys.argv[1:])"
"""The first terminal that the leader of a session opens is the one that it is asked at."""


def at_terminal(words: Sequence[str], typed: Sequence[str], directory: Path, environment: Mapping[str, str]) -> Ended:
    """How the command ended, after this was typed, each line after a question. `err` is what the terminal showed."""
    own, theirs = pty.openpty()
    command = [sys.executable, "-c", OPEN_TERMINAL, sys.executable, "-m", "keybearer", *words]
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        text=True,
    ) as process:
        os.close(theirs)
        shown = "".join(answer_question(own, line) for line in typed) + read_until(own, "")
        out, _ = process.communicate(timeout=WITHIN)
    os.close(own)
    return Ended(process.returncode, out, shown)


def answer_question(terminal: int, line: str) -> str:
    shown = read_until(terminal, ": ")
    os.write(terminal, f"{line}\n".encode())
    return shown


def read_until(terminal: int, end: str) -> str:
    """What it shows up to there, or to the end of the command when that is empty or does not come."""
    shown = ""
    with suppress(OSError):  # nobody has it open any more
        while not end or not shown.endswith(end):
            shown += os.read(terminal, 1024).decode()
    return shown
