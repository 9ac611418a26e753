"""What a run leaves behind, looked through for the credentials that were handed out in it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.request import urlopen

from tests.faults.ground import Ground
from tests.faults.operating import PASSWORD, Operator
from tests.faults.replicas import Replica
from tests.faults.wire import HOST
from tests.stage.processes import ROOT
from tests.support.postgres import PROGRAMS
from tests.support.secret_scan import Credential, Report, read_ledgers, scan_files

_RIGHTFUL = ("handed-out", "session-*", "clock-*")
"""What clients keep for themselves, and what says nothing."""


async def look_for_secrets(ground: Ground, operator: Operator, replicas: Sequence[Replica]) -> Report:
    """In the database's files, a dump of it, all that processes have written, and the metrics of those that run."""
    await asyncio.to_thread(_write_metrics, ground, replicas)
    await asyncio.to_thread(_dump, ground)
    credentials = [*_of_the_operator(ground, operator), *read_ledgers(ground.handed_out)]
    return await asyncio.to_thread(scan_files, _leavings(ground), credentials)


def _of_the_operator(ground: Ground, operator: Operator) -> Iterator[Credential]:
    yield Credential("password", PASSWORD)
    yield Credential("key-encryption key", ground.environment["KEYBEARER_KEY_ENCRYPTION_KEY"])
    for key in operator.keys:
        yield Credential("api key", key)


def _leavings(ground: Ground) -> list[Path]:
    found = [path for path in ground.home.iterdir() if not any(path.match(pattern) for pattern in _RIGHTFUL)]
    return found if ground.server is None else [*found, ground.server.directory]


def _write_metrics(ground: Ground, replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        with urlopen(f"http://{HOST}:{replica.metrics_port}/metrics", timeout=30) as answer:
            (ground.home / f"metrics-{replica.number}.txt").write_bytes(answer.read())


def _dump(ground: Ground) -> None:
    """As an operator makes it; in plain text on PostgreSQL, whose own form is compressed."""
    file = ground.home / "dump.sql"
    if ground.server is not None:
        words: list[str | Path] = [PROGRAMS / "pg_dump", "--file", file, "--dbname", ground.server.url()]
    else:
        words = [sys.executable, "-m", "keybearer", "backup", "--force", file]
    subprocess.run(words, cwd=ROOT, env=dict(ground.environment), check=True, capture_output=True)
