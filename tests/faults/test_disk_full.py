"""A disk that is full: refreshes are put off, and nobody is logged out; with room again the service goes on."""

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from tests.faults.calls import Held
from tests.faults.ground import WINDOW, Backend, Ground, prepared
from tests.faults.scene import WITHIN, Scene, new_key, opened

SIZES = {"sqlite": "8m", "postgresql": "96m"}
"""PostgreSQL has some 40 MB before anything is in it."""

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]

SESSIONS = 20


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A disk of its own, in a directory that PostgreSQL's user can reach too. Where none can be made the test is
    skipped, and says why."""
    disk = Path(tempfile.mkdtemp(prefix="keybearer-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        disk.rmdir()
        pytest.skip(f"only root, and not in every container, can make a disk of its own: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def fill(disk: Path) -> Path:
    """Until not a byte more can be written. The file that takes all the room."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    return ballast


@asynccontextmanager
async def never_tidied(ground: Ground) -> AsyncIterator[None]:
    """PostgreSQL must keep every version of a row for the block, so that a table grows with each change of it. Else it
    may find room for the next version in place of the last one, for as long as the test waits."""
    if ground.server is None:
        yield
        return
    connection = await asyncpg.connect(ground.server.url())
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        yield
    finally:
        connection.terminate()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_full_disk_costs_nobody_the_session(backend: Backend) -> None:
    with small_disk(SIZES[backend]) as disk, prepared(backend, replicas=1, disk=disk) as ground:
        async with opened(ground) as scene:
            sessions = {new_key(): await scene.log_in() for _ in range(SESSIONS)}
            async with never_tidied(ground):
                ballast = fill(disk)
                statuses = await refresh_until_refused(scene, sessions)
            assert statuses <= {200, 503}
            ballast.unlink()
            if ground.server is not None and not ground.server.is_running:
                await asyncio.to_thread(ground.server.start)
            await asyncio.sleep(WINDOW)
            for key, held in sessions.items():
                async with asyncio.timeout(WITHIN):
                    reply = await scene.refresh(held, key=key)
                    while reply is None or reply.status == 503:
                        await asyncio.sleep(0.1)
                        reply = await scene.refresh(held, key=key)
                assert reply.status == 200


async def refresh_until_refused(scene: Scene, sessions: dict[str, Held]) -> set[int]:
    """All sessions again and again, until one was refused for want of room; every status that was answered."""
    found: set[int] = set()
    async with asyncio.timeout(WITHIN):
        while 503 not in found:
            for key, held in sessions.items():
                reply = await scene.refresh(held, key=key)
                found |= {reply.status} if reply is not None else set()
    return found
