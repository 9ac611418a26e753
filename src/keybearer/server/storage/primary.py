"""Connections to the primary, whichever of the PostgreSQL servers of a database URL it is."""

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from asyncpg.connect_utils import SessionAttribute

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Attempt: TypeAlias = asyncio.Task[Connection]

_AUTHORITY = re.compile(r"[a-z]+://(?:[^/@]*@)?([^/?]*)")
_HOST = re.compile(r"[?&]host=([^&]*)")
_PORT = re.compile(r"[?&]port=([^&]*)")


async def connect_to_primary(dsn: str | None = None, **options: Any) -> "Connection":
    """A connection to the first server that grants one and accepts changes; never one to a standby, which may not know
    yet what was revoked. All servers are asked at once: one that hangs, as a machine that is gone does, costs no time.

    `options` are those of `asyncpg.connect`; raises what it raises, for the last server that failed.
    """
    attempts = [
        asyncio.create_task(asyncpg.connect(each, target_session_attrs=SessionAttribute.read_write, **options))
        for each in split_hosts(dsn or "")
    ]
    chosen: Attempt | None = None
    try:
        chosen = await _first_success(attempts)
        return chosen.result()
    finally:
        await _give_up([attempt for attempt in attempts if attempt is not chosen])


async def _first_success(attempts: Sequence["Attempt"]) -> "Attempt":
    """Of several at a time, the one that stands first; or the last failure."""
    pending = set(attempts)
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for attempt in attempts:
            if attempt in done and attempt.exception() is None:
                return attempt
        if not pending:
            return done.pop()


async def _give_up(attempts: Sequence["Attempt"]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            outcome.terminate()


def split_hosts(url: str) -> list[str]:
    """A URL for each server that `url` names: `//a:5432,b:5432/name`, or `?host=a,b`, with or without `port=`."""
    if (found := _AUTHORITY.match(url)) is not None and found[1]:
        return _split(url, _AUTHORITY)
    by_port = [_split(each, _PORT) for each in _split(url, _HOST)]
    return [ports[number % len(ports)] for number, ports in enumerate(by_port)]


def _split(url: str, pattern: re.Pattern[str]) -> list[str]:
    """The URL with each of the values that stand there."""
    found = pattern.search(url)
    if found is None:
        return [url]
    return [url[: found.start(1)] + value + url[found.end(1) :] for value in found[1].split(",")]
