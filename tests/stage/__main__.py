"""`python -m tests.stage`: a stage in processes of its own. One line of JSON says where it is; it ends with its parent.

It stays until SIGTERM or SIGINT, or until its standard input is closed, which a parent that dies does too.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import msgspec

from keybearer.server.flows.administration import AdministrationError
from keybearer.server.settings import SettingsError
from tests.stage.processes import StageError
from tests.stage.running import Options, running


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stage", description="A stage for tests of clients.")
    parser.add_argument("--setting", action="append", default=[], metavar="KEYBEARER_NAME=VALUE", type=_setting)
    parser.add_argument("--pages", type=Path, metavar="DIR", help="What the two origins of pages serve.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="Where databases and logs stay afterwards.")
    return parser.parse_args()


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.startswith("KEYBEARER_"):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEYBEARER_NAME=VALUE")
    return name, value


async def stay(options: Options) -> None:
    """Run a stage until somebody ends it."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    threading.Thread(target=_watch_input, args=(loop, ended), daemon=True).start()
    work = asyncio.create_task(_run(options))
    ending = asyncio.create_task(ended.wait())
    await asyncio.wait((work, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _run(options: Options) -> None:
    async with running(options) as description:
        print(msgspec.json.encode(description).decode(), flush=True)  # noqa: T201 - what a parent waits for
        await asyncio.Event().wait()


def _watch_input(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """A thread, because a terminal, a pipe and a file are waited for in different ways. It asks the system itself: a
    reader of `sys.stdin` would hold a lock that the interpreter wants at its end."""
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(ended.set)


def main() -> None:
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="keybearer-stage-") as temporary:
        home = (arguments.keep or Path(temporary)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        try:
            asyncio.run(stay(Options(home, dict(arguments.setting), arguments.pages)))
        except (StageError, SettingsError, AdministrationError) as error:
            sys.exit(f"stage: {error}")


if __name__ == "__main__":
    main()
