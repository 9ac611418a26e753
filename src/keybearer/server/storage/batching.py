"""Natural batching: who comes while a statement is under way waits, and goes with the others in the next one.

There is no timer. At low load a batch is one member, which goes at once; at high load one statement, and one commit,
carries many.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from keybearer.errors import StorageUnavailable
from keybearer.server.storage.rows import uuid_of
from keybearer.server.storage.statements import Rows, Share, Shared, Statement

MAX_BATCH = 128
"""Members of one statement; bounds how long the first of them waits for the last, and for how long rows are locked."""

MAX_UNDER_WAY = 3
"""Batches at a time. While fewer members than this are under way, who comes goes at once; else more than one batch is
under way only when the next one is full or the others are slow."""

SLOW = 1.0
"""Seconds after which a batch is not waited for any more: its connection may hang, where another one works."""

Prepare = Callable[[], Statement | None]
"""The statement, made when there is a connection for it; None when by then nobody waits for it any more."""

Fetch = Callable[[Prepare], Awaitable[Rows]]


@dataclass(slots=True, eq=False)
class _Flight:
    """A statement under way for `members`; `task` performs it. Neither is there any more when it is over."""

    members: Sequence["_Member"]
    task: "asyncio.Task[Any] | None"

    @property
    def is_forsaken(self) -> bool:
        return all(member.rows.done() for member in self.members)

    def land(self) -> None:
        """Leaves no cycle of members behind, for which the garbage collector would have to stop everything."""
        self.members, self.task = (), None


@dataclass(slots=True, eq=False)
class _Member:
    """Who waits for the rows of a share. `behind` came after it with the same key."""

    share: Share
    rows: "asyncio.Future[Rows]"
    came_at: float
    flight: _Flight | None = None
    behind: "_Member | None" = None


class Batches:
    """The batches of one statement.

    Members with one key go one after the other, in the order in which they came. `fetch` performs a statement;
    `fetch_patiently` one that may wait for others' locks, and bounds how many do. Whoever has waited for `patience`
    seconds before his statement begins is told that the storage is unavailable. Who goes away while he waits is left
    out, and a statement that nobody waits for any more is given up.
    """

    def __init__(self, shared: Shared, fetch: Fetch, fetch_patiently: Fetch, patience: float) -> None:
        self._shared = shared
        self._fetch = fetch
        self._fetch_patiently = fetch_patiently
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Member] = deque()
        self._last: dict[UUID, _Member] = {}
        self._begun: list[float] = []
        self._members_under_way = 0
        self._begins = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def rows_for(self, share: Share) -> Rows:
        """The rows that the statement answers for this member. Raises what it raises for this member."""
        member = _Member(share, self._loop.create_future(), self._loop.time())
        before = self._last.get(share.key)
        self._last[share.key] = member
        if before is None:
            self._admit(member)
        else:
            before.behind = member
        try:
            return await member.rows
        except asyncio.CancelledError:
            flight = member.flight
            if flight is not None and flight.task is not None and flight.is_forsaken:
                flight.task.cancel()
            raise

    def _admit(self, member: _Member) -> None:
        self._waiting.append(member)
        if not self._begins and self._has_room():
            self._begins = True
            self._start(self._work())

    def _has_room(self) -> bool:
        """A few go side by side, for none of them is faster for waiting. Of many, one batch at a time makes the largest
        ones, which cost the server least."""
        if self._members_under_way < MAX_UNDER_WAY:
            return True
        if len(self._begun) >= MAX_UNDER_WAY:
            return False
        return len(self._waiting) >= MAX_BATCH or self._loop.time() - self._begun[-1] > SLOW

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """Perform batches for as long as somebody waits. The next one is under way before those whom the last one has
        answered go on."""
        self._begins = False
        while self._has_room() and (batch := self._next_batch()):
            begun = self._loop.time()
            self._begun.append(begun)
            self._members_under_way += len(batch)
            try:
                await self._perform(batch)
            finally:
                self._begun.remove(begun)
                self._members_under_way -= len(batch)

    def _next_batch(self) -> list[_Member]:
        batch: list[_Member] = []
        earliest = self._loop.time() - self._patience
        while self._waiting and len(batch) < MAX_BATCH:
            member = self._waiting.popleft()
            if member.rows.done():
                self._leave(member)  # whoever asked has gone, and must not find it done
            elif member.came_at < earliest:
                self._fail(member, StorageUnavailable("The database does not keep up."))
            else:
                batch.append(member)
        return batch

    async def _perform(self, batch: Sequence[_Member]) -> None:
        try:
            rows = await self._rows(self._shared.at_once, self._fetch, batch)
        except StorageUnavailable as error:
            for member in batch:
                self._fail(member, _copy(error))
        except Exception:  # noqa: BLE001 (one of them failed, and must not harm the others)
            self._hand_out(batch, ())
        else:
            self._hand_out(batch, rows)

    def _hand_out(self, batch: Sequence[_Member], rows: Rows) -> None:
        answered = {uuid_of(row["id"]): row for row in rows}
        for member in batch:
            row = answered.get(member.share.key)
            if row is None:
                self._start(self._perform_alone(member))
            else:
                self._answer(member, (row,))

    async def _perform_alone(self, member: _Member) -> None:
        if member.rows.done():
            return self._leave(member)
        try:
            rows = await self._rows(self._shared.patiently, self._fetch_patiently, (member,))
        except Exception as error:  # noqa: BLE001 (whatever it is, whoever asked is told)
            self._fail(member, error)
        else:
            self._answer(member, rows)

    async def _rows(self, sql: str, fetch: Fetch, members: Sequence[_Member]) -> Rows:
        """What the statement answers for all members. No rows when they have gone, and it was given up."""
        task = asyncio.current_task()
        flight = _Flight(members, task)
        for member in members:
            member.flight = flight
        try:
            return await fetch(lambda: self._statement(sql, members))
        except asyncio.CancelledError:
            if task is None or not flight.is_forsaken:
                raise
            task.uncancel()
            return ()
        finally:
            flight.land()

    def _statement(self, sql: str, members: Sequence[_Member]) -> Statement | None:
        """Who has gone while there was no connection must not find it done: he may have moved on elsewhere."""
        rows_of_args = [member.share.args for member in members if not member.rows.done()]
        if not rows_of_args:
            return None
        return Statement(sql, (*map(list, zip(*rows_of_args, strict=True)), *self._shared.common))

    def _answer(self, member: _Member, rows: Rows) -> None:
        if not member.rows.done():
            member.rows.set_result(rows)
        self._leave(member)

    def _fail(self, member: _Member, error: Exception) -> None:
        if not member.rows.done():
            member.rows.set_exception(error)
        self._leave(member)

    def _leave(self, member: _Member) -> None:
        """The next one with the same key has its turn."""
        if member.behind is not None:
            self._admit(member.behind)
        else:
            del self._last[member.share.key]


def _copy(error: StorageUnavailable) -> StorageUnavailable:
    """Each member raises one of its own: an exception gathers the frames of whoever raises it."""
    copy = StorageUnavailable(*error.args)
    copy.__cause__ = error.__cause__
    return copy
