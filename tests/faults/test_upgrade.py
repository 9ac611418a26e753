"""An upgrade while the service is used: the release after this one brings a change of the tables, and no refresh fails
while it migrates, while both releases serve, and while replicas are replaced.

The next release is this one with one more migration. What this release's migrations do to rows and statements of the
release before it is in tests/migrations.
"""

import asyncio
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import asyncpg
import pytest

import keybearer
from keybearer.server.storage.schema import HEAD, current_revision
from tests.faults.ground import Ground, prepared
from tests.faults.load import restart_in_peace, under_load, until_answered
from tests.faults.proxies import nginx_before
from tests.faults.replicas import Replica
from tests.faults.scene import WITHIN, opened
from tests.stage.processes import ROOT

DUMP_SECONDS = 7.0
"""How long something reads the table that is to be changed; the service gives a statement up after five."""

NEXT = "9000"

_MIGRATION = f"""
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    op.add_column("session", sa.Column("device", sa.Text))
"""


def make_next_release(ground: Ground) -> Ground:
    """The same ground, of which processes run the next release."""
    source = ground.home / "next"
    shutil.copytree(Path(keybearer.__file__).parent, source / "keybearer")
    storage = source / "keybearer" / "server" / "storage"
    (storage / "migrations" / "versions" / f"{NEXT}_device.py").write_text(_MIGRATION)
    schema = storage / "schema.py"
    text = schema.read_text()
    assert text.count(f'"{HEAD}")') == 1
    schema.write_text(text.replace(f'"{HEAD}")', f'"{HEAD}", "{NEXT}")'))
    return replace(ground, environment={**ground.environment, "PYTHONPATH": str(source)})


async def run(ground: Ground, command: str) -> tuple[int, str]:
    """Status and last words of a command of the release that the ground runs."""

    def work() -> tuple[int, str]:
        words = [sys.executable, "-m", "keybearer", command]
        ended = subprocess.run(
            words, cwd=ROOT, env=ground.environment, capture_output=True, text=True, timeout=WITHIN, check=False
        )
        return ended.returncode, ended.stderr

    return await asyncio.to_thread(work)


async def dump(ground: Ground) -> None:
    """Read a table for a while, as `pg_dump` does."""
    assert ground.server is not None
    connection = await asyncpg.connect(ground.server.url())
    async with connection.transaction():
        await connection.execute("LOCK TABLE session IN ACCESS SHARE MODE")
        await asyncio.sleep(DUMP_SECONDS)
    await connection.close()


@pytest.mark.postgres
async def test_no_refresh_fails_during_an_upgrade() -> None:
    with prepared("postgresql", replicas=2) as ground:
        following = make_next_release(ground)
        async with opened(ground) as scene:
            successors = [
                Replica(following, old.number, Counter(), Random(old.number), port=old.port) for old in scene.replicas
            ]
            with nginx_before([replica.port for replica in scene.replicas], ground.home) as port:
                await until_answered(port, "/health/ready")
                try:
                    async with under_load(scene, port) as statuses:
                        status, said = await run(following, "serve")
                        assert status == 1 and "keybearer migrate" in said
                        dumping = asyncio.create_task(dump(ground))
                        assert await run(following, "migrate") == (0, "")
                        assert dumping.done()
                        await dumping
                        status, said = await run(ground, "serve")
                        assert status == 1 and "newer release" in said
                        for old, successor in zip(scene.replicas, successors, strict=True):
                            await restart_in_peace(old, successor)
                finally:
                    for successor in successors:
                        await successor.stop()
        revision = await asyncio.to_thread(current_revision, ground.environment["KEYBEARER_DATABASE"])
    assert revision == NEXT
    assert statuses.keys() == {200}, statuses
