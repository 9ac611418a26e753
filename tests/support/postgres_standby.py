"""A standby of a PostgreSQL server: a second server that follows the first, until it is promoted or left behind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from tests.support.postgres import TemporaryServer

WITHIN = 60.0
"""Seconds after which what does not happen has failed."""

NAME = "standby"


class Standby(TemporaryServer):
    """Made by a base backup of `primary`, which runs; it follows asynchronously until `become_synchronous`."""

    def __init__(self, primary: TemporaryServer) -> None:
        self._primary = primary
        super().__init__(primary._options)

    def _make_data(self) -> None:
        source = f"host={self._primary.host} user=postgres application_name={NAME}"
        self._run("pg_basebackup", "-D", "data", "-d", source, "--write-recovery-conf", "--checkpoint=fast")

    def url_of_both(self) -> str:
        """The primary stands first."""
        return f"postgresql://postgres@/postgres?host={self._primary.host},{self.host}"

    async def become_synchronous(self) -> None:
        """From now on the primary acknowledges nothing that is not on the disk here."""
        await _execute(
            self._primary,
            f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'",
            "SELECT pg_reload_conf()",
        )
        await _until(lambda: _ask(self._primary, "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication"))

    async def catch_up(self) -> None:
        """Until all that has been committed is here."""
        end = await _ask(self._primary, "SELECT pg_current_wal_flush_lsn()::text")
        await _until(lambda: _ask(self, f"SELECT pg_last_wal_replay_lsn() >= '{end}'"))

    async def stop_following(self) -> None:
        """What is committed after this never comes here."""
        await _execute(self, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        await _until(lambda: _ask(self, "SELECT count(*) = 0 FROM pg_stat_wal_receiver"))

    async def count_missing_bytes(self) -> int:
        """Of the primary's log, those that are not here."""
        end = await _ask(self._primary, "SELECT pg_current_wal_flush_lsn()::text")
        return int(await _ask(self, f"SELECT pg_wal_lsn_diff('{end}', pg_last_wal_receive_lsn())"))

    async def promote(self) -> None:
        assert await _ask(self, "SELECT pg_promote()")


async def _until(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(WITHIN):
        while not await holds():
            await asyncio.sleep(0.02)


async def _ask(server: TemporaryServer, sql: str) -> Any:
    connection = await asyncpg.connect(server.url())
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def _execute(server: TemporaryServer, *statements: str) -> None:
    for statement in statements:
        await _ask(server, statement)
