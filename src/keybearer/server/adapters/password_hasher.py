"""Password hashing in threads of its own, so that a flood of logins does not slow token checks down.

Priority, measured on one core with an event loop answering 50 µs requests (Linux 6.18, EEVDF; CPython 3.11):

    hashing thread   half-loaded loop: p99, p99.9, hashes/s   saturated loop: requests/s, hashes/s
    none             1.2 ms   1.8 ms    -                     19,000   -
    nice 0           317 ms   320 ms   29.2                    9,400  29.0
    nice 10          1.2 ms   3.4 ms   25.0                   17,100   4.3
    nice 15          1.2 ms   1.7 ms   25.2                   18,300   1.3
    nice 19          1.2 ms   1.2 ms   25.2                   18,700   0.3
    SCHED_BATCH, 19  1.2 ms   1.8 ms   25.0                   18,800   0.2
    SCHED_IDLE       1.5 ms  19.4 ms   24.5                   18,900   0.0

All of them protect the loop; they differ in what logins get of a saturated core, and in what a flood of them takes.
Under SCHED_IDLE a login hangs there. In the service, with a core that answers 62,000 token infos a second, nice 19 lets
0.9 logins a second through, nice 15 two; at 70 % of that, a flood of logins makes the p99 of token info twice what it
is in peace at nice 19, and 2.7 times at nice 15: the share of a hash comes in slices of the kernel's tick. The loop's
thread has short slices besides (adapters/scheduling.py), so that it does not wait for a hash when it wakes: under a
flood of logins the p99 of token info at 40 % of capacity is 1.1 ms with them, 2.4 ms without.

Even so a core that computes hashes is not one that stands idle. Where two threads of the service meet on it and one
gives way to the other, the hash has had less than either and runs until the kernel's next tick, 4 ms at 250 Hz. With
hashes on both cores of two a refresh took four times as long at p99 as in peace. So in a flood of guesses strangers
leave one core to everybody else (docs/decisions/0018).

Beside other programs, or token traffic that takes all there is, a hash can take seconds. Nobody waits for his turn for
longer than a limit, and who has gone has no turn: those who still wait come sooner.

Memory is bounded by the threads: 19 MiB each for the current scheme, and no more than 256 MiB each for imported hashes.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import structlog

from keybearer import errors
from keybearer.server.adapters.passwords import schemes
from keybearer.server.adapters.passwords.fair_queue import Claim, Entry, FairQueue
from keybearer.server.adapters.scheduling import stand_back, usable_processors
from keybearer.server.domain.passwords import PasswordRefused, prepare_password
from keybearer.server.ports import PasswordVerdict, VerifyPassword

log = structlog.get_logger("keybearer.passwords")

Result = TypeVar("Result")

NICENESS = 19

_EXPECTED_SECONDS = 0.03
"""What a hash is thought to take until the first is measured."""

_MEMORY = 0.9
"""Weight of what was known before a new measurement."""

_FLOOD = 0.5
"""The share of wrong passwords above which it is a flood: so many do not mistype."""


@dataclass(eq=False, slots=True)
class _Job(Generic[Result]):
    """Work for a thread, and the future on the loop in which its result is awaited."""

    work: Callable[[], Result]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    future: asyncio.Future[Result] = field(init=False)
    started_at: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    def compute(self) -> Callable[[], None]:
        """In a thread: do the work; what is left to do on the loop is returned."""
        try:
            return partial(self._settle, self.work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to who awaits the result
            return partial(self.fail, error)

    def _settle(self, result: Result) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Thread(threading.Thread):
    """Works at one entry after another; `finish` is called on the loop with what there is to settle."""

    def __init__(self, number: int, finish: "_Finish") -> None:
        super().__init__(name=f"password-hasher-{number}", daemon=True)
        self._orders: SimpleQueue[Entry[_Job[Any]] | None] = SimpleQueue()
        self._finish = finish

    def give(self, entry: Entry[_Job[Any]]) -> None:
        self._orders.put(entry)

    def end(self) -> None:
        """After its present work."""
        self._orders.put(None)

    def run(self) -> None:
        stand_back(NICENESS)
        while (entry := self._orders.get()) is not None:
            outcome = entry.item.compute()
            try:
                entry.item.loop.call_soon_threadsafe(self._finish, self, entry, outcome)
            except RuntimeError:
                return  # The loop is closed: nobody waits for this, and nobody will ask for more.


_Finish = Callable[[_Thread, Entry[_Job[Any]], Callable[[], None]], None]


class ThreadedPasswordHasher:
    """A `ports.PasswordHasher`. It belongs to the event loop that uses it first; its threads start with the first work.

    While most of the passwords from unknown places are wrong, `threads_in_a_flood` at most compute hashes for them;
    unless it is said, all do. `wait_limit` (seconds) bounds the wait for a thread. `failure_floor` (seconds) is the
    floor of `FailureFloor` to begin with: what the slowest imported hash takes, or 0 when none is stored.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        threads_in_a_flood: int | None = None,
        queue_limit: int = 500,
        share_limit: int = 32,
        wait_limit: float = 10.0,
        failure_floor: float = 0.0,
    ) -> None:
        self.verifications = 0
        """Verifications done, those of unknown users among them."""
        self._thread_count = threads or usable_processors()
        self._threads_in_a_flood = min(self._thread_count, threads_in_a_flood or self._thread_count)
        self._wait_limit = wait_limit
        self._wrong = 0.0
        """Of the passwords that strangers tried, lately."""
        self._strangers = 0
        """Hashes that threads are working at for them."""
        self._threads: list[_Thread] = []
        self._idle: list[_Thread] = []
        self._queue: FairQueue[_Job[Any]] = FairQueue(limit=queue_limit, share_limit=share_limit)
        self._floor = FailureFloor(failure_floor)
        self._seconds_per_hash = _EXPECTED_SECONDS
        self._closed = False

    @property
    def running(self) -> int:
        """Hashes that threads are working at."""
        return len(self._threads) - len(self._idle)

    @property
    def waiting(self) -> int:
        """How many wait for a thread."""
        return len(self._queue)

    @contextmanager
    def room(self, *shares: bytes, known_place: bool) -> Iterator[VerifyPassword]:
        """For the block: room for one verification. Raises `errors.Overloaded` when it or a share is taken."""
        with self._claimed(*shares, known_place=known_place) as claim:
            yield partial(self._verify, claim)

    def keeps_room(self, source: bytes) -> bool:
        """Whether there is room, but for known places only."""
        known_only = self._queue.has_room(source, known_place=True)
        return known_only and not self._queue.has_room(source, known_place=False)

    async def _verify(
        self,
        claim: Claim,
        password_hash: str | None,
        password: str,
        *,
        known_place: bool,
        gone: asyncio.Future[None] | None = None,
    ) -> PasswordVerdict:
        """One verification, whatever there is to verify. A wrong password is answered no sooner than the floor.

        A password that nobody can have (`PasswordRefused`) and a stored hash that is not supported are verified against
        a dummy and wrong, so that neither stands out. Raises `errors.Overloaded` when the longest wait is over or
        `gone` is done before the turn has come, and when there is no memory; a caller that is cancelled while it waits
        leaves the queue.
        """
        try:
            work = partial(_verify, password_hash, prepare_password(password))
        except PasswordRefused:
            work = partial(_verify, None, b"")
        done, seconds = await self._run(work, claim, known_place, gone)
        self.verifications += 1
        if not (known_place or claim.known_place):
            self._wrong = _smoothed(self._wrong, not done.right)
        if done.right:
            return PasswordVerdict(right=True, rehashed=done.rehashed)
        self._floor.learn(done.scheme, seconds)
        if (remaining := self._floor.seconds - seconds) > 0:
            await asyncio.sleep(remaining)
        return PasswordVerdict(right=False)

    async def hash(self, password: str) -> str:
        """A PHC string of the current scheme. Raises `PasswordRefused`, and `errors.Overloaded` as a verification."""
        work = partial(schemes.hash_password, prepare_password(password))
        with self._claimed(known_place=True) as claim:
            hashed, _ = await self._run(work, claim, known_place=True)
        return hashed

    def close(self) -> None:
        """Refuse whoever waits and take no more work. Returns at once; the threads end after their present work."""
        self._closed = True
        while entry := self._queue.take():
            self._queue.finish(entry)
            entry.item.fail(self._overloaded())
        for thread in self._threads:
            thread.end()

    @contextmanager
    def _claimed(self, *shares: bytes, known_place: bool) -> Iterator[Claim]:
        claim = None if self._closed else self._queue.claim(*shares, known_place=known_place)
        if claim is None:
            raise self._overloaded()
        try:
            yield claim
        finally:
            self._queue.give_up(claim)

    async def _run(
        self,
        work: Callable[[], Result],
        claim: Claim,
        known_place: bool,
        gone: asyncio.Future[None] | None = None,
    ) -> tuple[Result, float]:
        """The result of `work` and the seconds that it took, the wait before it not counted."""
        if self._closed:
            raise self._overloaded()
        self._ensure_threads()
        job = _Job(work)
        entry = self._queue.put(claim, job, known_place=known_place)
        self._dispatch()
        try:
            with self._bounded_wait(entry, gone):
                result = await job.future
        except asyncio.CancelledError:
            self._queue.withdraw(entry)
            raise
        except MemoryError:
            log.error("no memory for a password hash")  # noqa: TRY400 - where it was is of no use
            raise self._overloaded() from None
        return result, job.seconds

    @contextmanager
    def _bounded_wait(self, entry: Entry[_Job[Any]], gone: asyncio.Future[None] | None) -> Iterator[None]:
        """For the block: an entry that still waits when its time is over, or its caller has gone, is refused."""

        def give_up(*_: object) -> None:
            if self._queue.withdraw(entry):
                entry.item.fail(self._overloaded())

        timer = entry.item.loop.call_later(self._wait_limit, give_up)
        if gone is not None:
            gone.add_done_callback(give_up)
        try:
            yield
        finally:
            timer.cancel()
            if gone is not None:
                gone.remove_done_callback(give_up)

    def _ensure_threads(self) -> None:
        """Not in the constructor: threads would not survive a fork of the process that composes the application."""
        while len(self._threads) < self._thread_count:
            thread = _Thread(len(self._threads), self._finish)
            try:
                thread.start()
            except RuntimeError:  # there is no room for more threads in this machine or container
                if not self._threads:
                    raise
                return
            self._threads.append(thread)
            self._idle.append(thread)

    def _dispatch(self) -> None:
        """Give idle threads the next entries. No more is handed out, so that whoever waits can still be overtaken.

        The thread that was busy last goes first: in a flood it is mostly the same, and mostly on the same core.
        """
        while self._idle and (entry := self._queue.take(strangers=self._strangers < self._threads_for_strangers())):
            self._strangers += not entry.known_place
            entry.item.started_at = entry.item.loop.time()
            self._idle.pop().give(entry)

    def _threads_for_strangers(self) -> int:
        return self._threads_in_a_flood if self._wrong > _FLOOD else self._thread_count

    def _finish(self, thread: _Thread, entry: Entry[_Job[Any]], settle: Callable[[], None]) -> None:
        """On the loop: free the thread and the source's share, answer the caller, go on."""
        job = entry.item
        self._idle.append(thread)
        self._strangers -= not entry.known_place
        self._queue.finish(entry)
        job.seconds = job.loop.time() - job.started_at
        self._seconds_per_hash = _smoothed(self._seconds_per_hash, job.seconds)
        settle()
        self._dispatch()

    def _overloaded(self) -> errors.Overloaded:
        """With the time after which the work in hand should be done."""
        in_hand = self._queue.claimed + len(self._queue) + self.running
        seconds = in_hand * self._seconds_per_hash / self._threads_for_strangers()
        return errors.Overloaded(retry_after=math.ceil(seconds))


def _smoothed(known: float, measured: float) -> float:
    return _MEMORY * known + (1 - _MEMORY) * measured


class FailureFloor:
    """The time before which a wrong password is not answered, so that it does not tell who has an imported hash.

    It stands above the slowest of the schemes in use, the current one among them, as they were measured; without
    imported hashes it is 0. A scheme's measure is its slowest verification, which later ones make it forget slowly: one
    that was held up by something else does not count for ever. What remains visible is that a thread was busy for
    longer or shorter, to whoever sends other attempts at the same time; it ends when the last such user has logged in.
    """

    MARGIN = 1.25
    LIMIT = 3.0
    """Seconds. Above the dearest hash that may be imported, on the machine of which the bounds in `passwords` speak."""

    def __init__(self, at_least: float) -> None:
        self._at_least = at_least
        self._slowest: dict[str, float] = {}

    def learn(self, scheme: str, seconds: float) -> None:
        known = self._slowest.get(scheme, 0.0)
        self._slowest[scheme] = max(seconds, _smoothed(known, seconds))

    @property
    def seconds(self) -> float:
        if self._slowest.keys() <= {_CURRENT}:
            return self._at_least
        return min(self.LIMIT, max(self._at_least, self.MARGIN * max(self._slowest.values())))


_CURRENT = "current"


@dataclass(frozen=True, slots=True)
class _Verified:
    right: bool
    scheme: str
    rehashed: str | None = None


def _verify(password_hash: str | None, password: bytes) -> _Verified:
    """In a thread. A hash that is not supported is not computed; the dummy is, in its place."""
    stored = _parse(password_hash)
    if stored is None:
        schemes.DUMMY.verify(password)
        return _Verified(right=False, scheme=_CURRENT)
    right = stored.verify(password)
    if schemes.is_current(stored):
        return _Verified(right, _CURRENT)
    return _Verified(right, stored.scheme, rehashed=schemes.hash_password(password) if right else None)


def _parse(password_hash: str | None) -> schemes.StoredHash | None:
    try:
        return None if password_hash is None else schemes.parse(password_hash)
    except schemes.UnsupportedPasswordHash:
        return None
