"""The hashing threads: bounds, fairness, one verification each. Time is asserted nowhere; `GUARD` ends what hangs."""

import asyncio
import os
import resource
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from argon2 import low_level
from nacl import bindings

from keybearer.errors import Overloaded
from keybearer.server import app, settings
from keybearer.server.adapters.password_hasher import FailureFloor, ThreadedPasswordHasher
from keybearer.server.adapters.passwords import argon2_hashes, schemes
from keybearer.server.domain.passwords import PasswordRefused, prepare_password
from keybearer.server.ports import PasswordHasher, PasswordVerdict

T = TypeVar("T")

GUARD = 60.0
WRONG = PasswordVerdict(right=False)
BCRYPT_A_NUL_C = "$2b$04$abcdefghijklmnopqrstuue0WNx6CG5EOBIFrLmvaE54PFnf9blM6"
DJANGO = "pbkdf2_sha256$10000$kjVJaVz6qsnJ$5yPHw3rwJGECpUf70daLGhOrQ5+AMxIJdz1c3bqK1Rs="


def end(hasher: ThreadedPasswordHasher) -> None:
    """Close it, and see that its threads end."""
    hasher.close()
    for thread in hasher._threads:
        thread.join(GUARD)
        assert not thread.is_alive()


@pytest.fixture
async def hasher() -> AsyncIterator[ThreadedPasswordHasher]:
    hasher = ThreadedPasswordHasher(threads=1, queue_limit=10, share_limit=4)
    yield hasher
    end(hasher)


async def run(hasher: ThreadedPasswordHasher, work: Callable[[], T], source: bytes | None, known_place: bool) -> T:
    """The result of a piece of work for a source."""
    with hasher._claimed(*filter(None, (source,)), known_place=known_place) as claim:
        result, _ = await hasher._run(work, claim, known_place)
    return result


async def verify(
    hasher: ThreadedPasswordHasher,
    stored: str | None,
    password: str,
    *,
    known_place: bool = False,
    gone: asyncio.Future[None] | None = None,
) -> PasswordVerdict:
    with hasher.room(b"s", known_place=known_place) as verify_there:
        return await asyncio.wait_for(verify_there(stored, password, known_place=known_place, gone=gone), GUARD)


class Gate:
    """Work that holds a thread until it is let go."""

    def __init__(self, hasher: ThreadedPasswordHasher, source: bytes | None = None) -> None:
        self._go = threading.Event()
        self.task = asyncio.create_task(run(hasher, lambda: self._go.wait(GUARD), source, True))

    async def open(self) -> None:
        self._go.set()
        await asyncio.wait_for(self.task, GUARD)


async def closed_gate(hasher: ThreadedPasswordHasher, source: bytes | None = None) -> Gate:
    gate = Gate(hasher, source)
    await asyncio.sleep(0)
    assert hasher.running == 1
    return gate


class Attempts:
    """Tasks that run a piece of work for a source, and the order in which they were served."""

    def __init__(self, hasher: ThreadedPasswordHasher) -> None:
        self._hasher = hasher
        self.served: list[bytes] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def start(self, source: bytes, *, known_place: bool = False, count: int = 1) -> None:
        for _ in range(count):
            work: Callable[[], None] = lambda: self.served.append(source)  # noqa: E731
            self.tasks.append(asyncio.create_task(run(self._hasher, work, source, known_place)))
            await asyncio.sleep(0)

    async def results(self) -> list[str]:
        done = await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), GUARD)
        return [type(one).__name__ if isinstance(one, BaseException) else "served" for one in done]


# --- verdicts --------------------------------------------------------------------------------------------------------


async def test_it_is_a_password_hasher(hasher: ThreadedPasswordHasher) -> None:
    port: PasswordHasher = hasher
    stored = await asyncio.wait_for(port.hash("correct horse"), GUARD)
    assert await verify(hasher, stored, "correct horse") == PasswordVerdict(right=True)
    assert await verify(hasher, stored, "Correct horse") == WRONG


async def test_both_spellings_of_a_password_are_right(hasher: ThreadedPasswordHasher) -> None:
    stored = await hasher.hash("cafe\u0301 noir")
    assert (await verify(hasher, stored, "caf\u00e9 noir")).right
    assert (await verify(hasher, stored, "cafe\u0301 noir")).right


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The memory cost of every Argon2 that is computed."""
    costs: list[int] = []
    by_libsodium, by_argon2_cffi = bindings.crypto_pwhash_alg, low_level.hash_secret_raw

    def counted_libsodium(*args: Any) -> bytes:
        costs.append(args[4] // 1024)
        return by_libsodium(*args)

    def counted_argon2_cffi(*args: Any, **kwargs: Any) -> bytes:
        costs.append(kwargs["memory_cost"])
        return by_argon2_cffi(*args, **kwargs)

    monkeypatch.setattr(argon2_hashes, "crypto_pwhash_alg", counted_libsodium)
    monkeypatch.setattr(argon2_hashes, "hash_secret_raw", counted_argon2_cffi)
    return costs


@pytest.mark.parametrize(
    ("stored", "password", "right"),
    [
        ("current", "right", True),
        ("current", "wrong", False),
        (None, "right", False),
        ("current", "\ud800", False),
        ("current", "x" * 2000, False),
        ("$1$unsupported", "right", False),
        ("$argon2id$v=19$m=9999999,t=9,p=1$c29tZXNhbHQ$Yq0ha5m4mZ7CzWMGqFlRxQ", "right", False),
        ("", "", False),
    ],
)
async def test_every_attempt_is_one_verification_of_equal_cost(
    hasher: ThreadedPasswordHasher, derivations: list[int], stored: str | None, password: str, right: bool
) -> None:
    text = schemes.hash_password(b"right") if stored == "current" else stored
    assert await verify(hasher, text, password) == PasswordVerdict(right=right)
    assert hasher.verifications == 1
    assert derivations == [19456]


async def test_nobody_logs_in_as_the_dummy(hasher: ThreadedPasswordHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argon2_hashes, "crypto_pwhash_alg", lambda *args: schemes.DUMMY.key)
    assert schemes.DUMMY.verify(b"any")
    assert await verify(hasher, None, "any") == WRONG


@pytest.mark.parametrize(("stored", "password"), [(DJANGO, "not a password"), (BCRYPT_A_NUL_C, "a\x00c")])
async def test_a_right_password_under_another_scheme_is_hashed_anew(
    hasher: ThreadedPasswordHasher, stored: str, password: str
) -> None:
    verdict = await verify(hasher, stored, password)
    assert verdict.right
    assert verdict.rehashed is not None
    assert not schemes.needs_rehash(verdict.rehashed)
    assert await verify(hasher, verdict.rehashed, password) == PasswordVerdict(right=True)
    assert hasher.verifications == 2
    assert await verify(hasher, stored, password + "x") == WRONG


async def test_a_password_longer_than_bcrypt_knows_is_no_failure(hasher: ThreadedPasswordHasher) -> None:
    assert await verify(hasher, BCRYPT_A_NUL_C, "\u00e9" * 500) == WRONG


async def test_a_new_password_that_cannot_be_is_refused(hasher: ThreadedPasswordHasher) -> None:
    with pytest.raises(PasswordRefused):
        await hasher.hash("x" * 1025)


async def test_what_goes_wrong_in_a_thread_is_raised_where_it_is_awaited(hasher: ThreadedPasswordHasher) -> None:
    def fail() -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await run(hasher, fail, b"s", False)
    assert hasher.running == 0
    assert await verify(hasher, None, "still at work") == WRONG


ARGON2_CFFI = "$argon2id$v=19$m=65536,t=1,p=2$c29tZXNhbHQ$Yq0ha5m4mZ7CzWMGqFlRxQ"
SCRYPT = "$scrypt$ln=16,r=8,p=1$c29tZXNhbHQ$Yq0ha5m4mZ7CzWMGqFlRxQ"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the size of a process, and bounds it")
@pytest.mark.parametrize("stored", [None, ARGON2_CFFI, SCRYPT])
async def test_without_memory_a_login_is_no_failure_of_ours(hasher: ThreadedPasswordHasher, stored: str | None) -> None:
    await verify(hasher, stored, "x")  # whatever is to be had once, its thread among it
    with no_more_memory(), pytest.raises(Overloaded):
        await verify(hasher, stored, "x")
    assert await verify(hasher, stored, "x") == WRONG


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the size of a process, and bounds it")
async def test_without_memory_there_is_no_new_hash(hasher: ThreadedPasswordHasher) -> None:
    await hasher.hash("correct horse")
    with no_more_memory(), pytest.raises(Overloaded):
        await hasher.hash("correct horse")


@contextmanager
def no_more_memory() -> Iterator[None]:
    """Beyond a few MiB, which is less than any hash of these takes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 8 * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# --- bounds and fairness ---------------------------------------------------------------------------------------------


async def test_a_source_has_its_share(hasher: ThreadedPasswordHasher) -> None:
    gate = await closed_gate(hasher, b"flood")
    attempts = Attempts(hasher)
    await attempts.start(b"flood", count=3)
    assert (hasher.running, hasher.waiting) == (1, 3)
    await attempts.start(b"flood", known_place=True)
    await attempts.start(b"other")
    await gate.open()
    assert await attempts.results() == ["served", "served", "served", "Overloaded", "served"]
    await attempts.start(b"flood", count=4)
    assert (await attempts.results())[5:] == ["served"] * 4


async def test_half_of_the_queue_is_kept_for_known_places(hasher: ThreadedPasswordHasher) -> None:
    gate = await closed_gate(hasher)
    attempts = Attempts(hasher)
    for number in range(6):
        await attempts.start(b"unknown %d" % number)
    for number in range(6):
        await attempts.start(b"known %d" % number, known_place=True)
    assert hasher.waiting == 10
    await gate.open()
    assert await attempts.results() == (["served"] * 5 + ["Overloaded"]) * 2


async def test_known_places_may_have_all_of_it(hasher: ThreadedPasswordHasher) -> None:
    gate = await closed_gate(hasher)
    attempts = Attempts(hasher)
    for number in range(10):
        await attempts.start(b"known %d" % number, known_place=True)
    await attempts.start(b"unknown")
    await gate.open()
    assert await attempts.results() == ["served"] * 10 + ["Overloaded"]


async def test_room_is_taken_before_the_work_comes(hasher: ThreadedPasswordHasher) -> None:
    """Claimed in the half of the unknown places; free again when the place is found to be known, or nothing came."""
    with ExitStack() as claimed:
        for number in range(4):
            claimed.enter_context(hasher.room(b"unknown %d" % number, known_place=False))
        with hasher.room(b"unknown", known_place=False) as last:
            with pytest.raises(Overloaded), hasher.room(b"one too many", known_place=False):
                pass
            assert await last(None, "x", known_place=True) == WRONG
            with hasher.room(b"there is room again", known_place=False):
                assert hasher.keeps_room(b"known")
                with ExitStack() as others:
                    for number in range(5):
                        others.enter_context(hasher.room(b"known %d" % number, known_place=True))
                    assert not hasher.keeps_room(b"known")
    assert not hasher.keeps_room(b"known")
    assert (hasher._queue.claimed, hasher._queue._in_hand) == (0, {})


async def test_a_claim_counts_as_a_share_of_its_source(hasher: ThreadedPasswordHasher) -> None:
    with ExitStack() as claimed:
        for _ in range(4):
            claimed.enter_context(hasher.room(b"s", known_place=True))
        hasher._seconds_per_hash = 2.0
        with pytest.raises(Overloaded) as refused, hasher.room(b"s", known_place=True):
            pass
        assert refused.value.retry_after == 8
        with pytest.raises(Overloaded), hasher.room(b"t", b"s", known_place=True):
            pass
        assert not hasher.keeps_room(b"s")
    assert (hasher._queue.claimed, hasher._queue._in_hand) == (0, {})
    assert await verify(hasher, None, "x") == WRONG


async def test_room_that_was_claimed_before_the_end_is_of_no_use_after_it() -> None:
    hasher = ThreadedPasswordHasher(threads=1)
    with hasher.room(b"s", known_place=False) as verify_there:
        hasher.close()
        with pytest.raises(Overloaded):
            await verify_there(None, "x", known_place=False)
    assert (hasher._queue.claimed, hasher._queue._in_hand) == (0, {})


async def test_a_flood_from_one_source_delays_another_by_one_hash(hasher: ThreadedPasswordHasher) -> None:
    gate = await closed_gate(hasher)
    attempts = Attempts(hasher)
    await attempts.start(b"flood", count=4)
    await attempts.start(b"other")
    await gate.open()
    await attempts.results()
    assert attempts.served == [b"flood", b"other", b"flood", b"flood", b"flood"]


async def test_known_places_come_first_and_alternate(hasher: ThreadedPasswordHasher) -> None:
    gate = await closed_gate(hasher)
    attempts = Attempts(hasher)
    await attempts.start(b"u1", count=2)
    await attempts.start(b"u2", count=1)
    await attempts.start(b"k1", known_place=True, count=2)
    await attempts.start(b"k2", known_place=True, count=1)
    await gate.open()
    await attempts.results()
    assert attempts.served == [b"u1", b"k1", b"u2", b"k2", b"u1", b"k1"]


async def test_whoever_is_cancelled_while_waiting_is_not_hashed_and_frees_the_place(
    hasher: ThreadedPasswordHasher,
) -> None:
    gate = await closed_gate(hasher)
    attempts = Attempts(hasher)
    await attempts.start(b"s", count=4)
    for task in attempts.tasks[:3]:
        task.cancel()
    await asyncio.sleep(0)
    assert hasher.waiting == 1
    await attempts.start(b"s", count=3)
    await attempts.start(b"s")
    assert hasher.waiting == 4
    await gate.open()
    assert await attempts.results() == ["CancelledError"] * 3 + ["served"] * 4 + ["Overloaded"]
    assert len(attempts.served) == 4


async def test_whoever_is_cancelled_while_running_frees_the_place_in_the_end(hasher: ThreadedPasswordHasher) -> None:
    gate = await closed_gate(hasher, b"s")
    gate.task.cancel()
    await asyncio.sleep(0)
    attempts = Attempts(hasher)
    await attempts.start(b"s", count=4)
    assert (hasher.running, hasher.waiting) == (1, 3)
    gate._go.set()
    assert await attempts.results() == ["served"] * 3 + ["Overloaded"]
    assert hasher.running == 0


async def test_nobody_waits_for_longer_than_the_limit() -> None:
    hasher = ThreadedPasswordHasher(threads=1, wait_limit=0.05)
    gate = await closed_gate(hasher)
    attempts = Attempts(hasher)
    await attempts.start(b"s", count=3)
    assert await attempts.results() == ["Overloaded"] * 3
    assert (hasher.running, hasher.waiting, attempts.served) == (1, 0, [])
    await gate.open()  # it has been at work for longer than the limit, which is one for waiting
    end(hasher)


async def test_whoever_has_gone_has_no_turn_and_frees_the_place(hasher: ThreadedPasswordHasher) -> None:
    gate = await closed_gate(hasher)
    gone = [asyncio.get_running_loop().create_future() for _ in range(4)]
    verdicts = [asyncio.create_task(verify(hasher, None, "x", gone=left)) for left in gone]
    await asyncio.sleep(0)
    for left in gone[:3]:
        left.set_result(None)
    refused = await asyncio.wait_for(asyncio.gather(*verdicts[:3], return_exceptions=True), GUARD)
    assert [type(error) for error in refused] == [Overloaded] * 3
    assert hasher.waiting == 1
    await gate.open()
    assert await asyncio.wait_for(verdicts[3], GUARD) == WRONG
    assert hasher.verifications == 1


async def test_what_has_begun_is_finished_whoever_has_gone(hasher: ThreadedPasswordHasher) -> None:
    gone = asyncio.get_running_loop().create_future()
    gone.set_result(None)
    verdict = asyncio.create_task(verify(hasher, None, "x", gone=gone))
    assert await asyncio.wait_for(verdict, GUARD) == WRONG
    assert hasher.verifications == 1


async def test_overloaded_says_when_to_come_back(hasher: ThreadedPasswordHasher) -> None:
    hasher._seconds_per_hash = 2.0
    gate = await closed_gate(hasher, b"s")
    attempts = Attempts(hasher)
    await attempts.start(b"s", count=3)
    with pytest.raises(Overloaded) as refused:
        await verify(hasher, None, "x", known_place=True)
    assert refused.value.retry_after == 8
    assert hasher.verifications == 0
    await gate.open()
    await attempts.results()


async def test_close_refuses_who_waits_and_lets_the_rest_finish() -> None:
    hasher = ThreadedPasswordHasher(threads=1)
    gate = await closed_gate(hasher)
    attempts = Attempts(hasher)
    await attempts.start(b"s", count=3)
    hasher.close()
    assert await attempts.results() == ["Overloaded"] * 3
    await gate.open()
    with pytest.raises(Overloaded):
        await verify(hasher, None, "x", known_place=True)
    end(hasher)


async def test_several_threads_work_at_once() -> None:
    hasher = ThreadedPasswordHasher(threads=3)
    meeting = threading.Barrier(3)
    await asyncio.wait_for(asyncio.gather(*(run(hasher, meeting.wait, b"s", True) for _ in range(3))), GUARD)
    end(hasher)


async def test_in_a_flood_of_guesses_strangers_leave_a_thread_to_those_from_home() -> None:
    hasher = ThreadedPasswordHasher(threads=2, threads_in_a_flood=1)
    await guess(hasher)
    go = threading.Event()
    strangers = [asyncio.create_task(run(hasher, lambda: go.wait(GUARD), b"%d" % n, False)) for n in range(20)]
    await asyncio.sleep(0)
    assert (hasher.running, hasher.waiting) == (1, 19)
    at_home = asyncio.gather(*(run(hasher, lambda: "home", b"%d" % n, True) for n in range(20)))
    assert await asyncio.wait_for(at_home, GUARD) == ["home"] * 20
    assert (hasher.running, hasher.waiting) == (1, 19)
    go.set()
    await asyncio.wait_for(asyncio.gather(*strangers), GUARD)
    assert hasher.running == 0
    end(hasher)


async def test_strangers_who_know_their_passwords_are_no_flood() -> None:
    hasher = ThreadedPasswordHasher(threads=2, threads_in_a_flood=1)
    await guess(hasher)
    stored = schemes.hash_password(prepare_password("x"))
    while hasher._threads_for_strangers() == 1:
        assert (await verify(hasher, stored, "x")).right
    meeting = threading.Barrier(2)
    await asyncio.wait_for(asyncio.gather(*(run(hasher, meeting.wait, b"s", False) for _ in range(2))), GUARD)
    end(hasher)


async def test_who_mistypes_at_home_is_no_flood() -> None:
    hasher = ThreadedPasswordHasher(threads=2, threads_in_a_flood=1)
    await guess(hasher, known_place=True)
    assert hasher._threads_for_strangers() == 2
    end(hasher)


async def guess(hasher: ThreadedPasswordHasher, *, known_place: bool = False) -> None:
    """Wrong passwords, more than anybody would mistype."""
    for _ in range(8):
        assert await verify(hasher, None, "x", known_place=known_place) == WRONG


async def test_the_hasher_of_the_service_leaves_one_processor_in_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "usable_processors", lambda: 8)
    hasher = app.build_hasher(settings.load_settings({}))
    await guess(hasher)
    assert hasher._threads_for_strangers() == 7
    end(hasher)


async def test_one_after_another_is_hashed_by_the_same_thread() -> None:
    hasher = ThreadedPasswordHasher(threads=3)
    assert len({await run(hasher, threading.get_ident, b"s", True) for _ in range(6)}) == 1
    end(hasher)


async def test_the_threads_that_there_are_do_the_work_of_those_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasher = ThreadedPasswordHasher(threads=2)
    with monkeypatch.context() as patched:
        start, started = threading.Thread.start, list[threading.Thread]()

        def start_one(thread: threading.Thread) -> None:
            if started:
                no_thread(thread)
            started.append(thread)
            start(thread)

        patched.setattr(threading.Thread, "start", start_one)
        assert await asyncio.gather(*(run(hasher, lambda: "done", b"s", False) for _ in range(3))) == ["done"] * 3
    meeting = threading.Barrier(2)
    await asyncio.wait_for(asyncio.gather(*(run(hasher, meeting.wait, b"s", True) for _ in range(2))), GUARD)
    end(hasher)


async def test_nobody_keeps_room_for_whom_no_thread_could_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = ThreadedPasswordHasher(threads=1, queue_limit=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="start new thread"):
            await run(hasher, lambda: None, b"s", True)
    assert (hasher.running, hasher.waiting) == (0, 0)
    assert await run(hasher, lambda: "done", b"s", True) == "done"
    end(hasher)


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_hasher_whose_loop_has_ended_does_no_harm() -> None:
    hasher = ThreadedPasswordHasher(threads=1)
    go = threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(run(hasher, lambda: go.wait(GUARD), b"s", True))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    go.set()
    for thread in hasher._threads:
        thread.join(GUARD)
        assert not thread.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
async def test_the_threads_have_a_lower_priority_than_the_loop(hasher: ThreadedPasswordHasher) -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    priority = await run(hasher, lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), b"s", True)
    assert priority == max(19, before)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


# --- the floor under wrong answers -----------------------------------------------------------------------------------


def test_there_is_no_floor_while_only_the_current_scheme_is_in_use() -> None:
    floor = FailureFloor(0.0)
    floor.learn("current", 0.5)
    assert floor.seconds == 0.0


def test_the_floor_stands_above_the_slowest() -> None:
    floor = FailureFloor(0.0)
    floor.learn("current", 0.02)
    floor.learn("pbkdf2-sha256", 0.001)
    assert floor.seconds == pytest.approx(0.025)
    floor.learn("bcrypt", 0.2)
    assert floor.seconds == pytest.approx(0.25)
    floor.learn("bcrypt", 0.4)
    assert floor.seconds == pytest.approx(0.5)


def test_the_floor_forgets_what_was_held_up_and_has_a_limit() -> None:
    floor = FailureFloor(0.0)
    floor.learn("bcrypt", 1000.0)
    assert floor.seconds == FailureFloor.LIMIT
    for _ in range(200):
        floor.learn("bcrypt", 0.2)
    assert floor.seconds == pytest.approx(0.25, rel=0.01)


async def test_wrong_answers_wait_for_the_floor_and_right_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = ThreadedPasswordHasher(threads=1, failure_floor=100.0)
    stored = await hasher.hash("right")
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert (await verify(hasher, stored, "right", known_place=True)).right
    assert waits == []
    assert not (await verify(hasher, stored, "wrong", known_place=True)).right
    assert not (await verify(hasher, None, "wrong", known_place=True)).right
    assert len(waits) == 2
    assert all(0 < wait < 100 for wait in waits)
    end(hasher)


def test_prepared_passwords_are_what_is_hashed() -> None:
    assert schemes.verify(BCRYPT_A_NUL_C, prepare_password("a\x00c"))
