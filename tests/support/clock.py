"""A clock that stands still until a test moves it, for the process and for the database alike."""

from typing import Protocol

import asyncpg

START = 1_800_000_000_000
"""Where every test begins: a whole second, in milliseconds since the epoch."""

CLOCK_SQL = "test_clock_ms()"
"""What a PostgreSQL storage is given as its clock."""

CREATE_CLOCK = (
    f"CREATE SEQUENCE test_clock START {START}",
    "SELECT nextval('test_clock')",
    "CREATE FUNCTION test_clock_ms() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT last_value FROM test_clock'",
)
"""A sequence, because its value is outside every transaction: as with a real clock, all see it move at once."""


class Published(Protocol):
    async def __call__(self, now: int, /) -> None: ...


class FakeClock:
    """`ports.Clock`, moved by hand. `publish` tells the database, where the storage's clock is there."""

    def __init__(self, publish: Published | None = None) -> None:
        self._now = START
        self._publish = publish

    def now(self) -> int:
        return self._now

    async def set(self, now: int) -> None:
        self._now = now
        if self._publish is not None:
            await self._publish(now)

    async def advance(self, seconds: float = 0, *, ms: int = 0) -> None:
        await self.set(self._now + round(seconds * 1000) + ms)

    async def step_back(self, seconds: float) -> None:
        """As when the machine's clock is corrected."""
        await self.advance(-seconds)


class DatabaseClock:
    """Sets the clock inside a PostgreSQL database."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def __call__(self, now: int, /) -> None:
        await self._connection.fetchval("SELECT setval('test_clock', $1)", now)
