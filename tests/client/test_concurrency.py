"""One refresh for everyone who waits: in threads, in tasks, on several loops, and whoever gives up."""

import asyncio
import gc
import itertools
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import httpx2
import pytest
import requests

from keybearer.client import AsyncClient, Client, RefreshUnavailable, SessionExpired
from keybearer.client._flights import THREADS
from tests.client.acting import (
    REFRESH,
    eventually,
    notes,
    record_of,
    refreshes,
    session_of,
    spoil,
)
from tests.stage.client import Stage
from tests.stage.faults import Answer, DropBefore, Gate, GateAfter

MODULES = [httpx, httpx2]
UNLIMITED = {"max_connections": None, "max_keepalive_connections": None}


def workers() -> list[threading.Thread]:
    """The threads in which clients work at this moment."""
    return [thread for thread in threading.enumerate() if thread.name == THREADS]


async def send_many(client: Client | AsyncClient, url: str, count: int, module: Any = httpx) -> list[int]:
    """The statuses of so many requests at once."""
    limits = module.Limits(**UNLIMITED)
    async with module.AsyncClient(auth=client.auth, timeout=60, limits=limits) as http:
        answers = await asyncio.gather(*(http.get(url) for _ in range(count)))
        return [answer.status_code for answer in answers]


def send_in_threads(client: Client, url: str, count: int) -> list[int]:
    barrier = threading.Barrier(count)

    def send(number: int) -> int:
        barrier.wait(60)
        if number % 2:
            with client.attach(requests.Session()) as session:
                return session.get(url, timeout=60).status_code
        with httpx.Client(auth=client.auth, timeout=60) as http:
            return http.get(url).status_code

    with ThreadPoolExecutor(count) as pool:
        return [future.result(120) for future in [pool.submit(send, number) for number in range(count)]]


def in_thread(make: Callable[[], Coroutine[Any, Any, Any]], results: list[Any]) -> threading.Thread:
    """An event loop of its own in a thread of its own."""
    thread = threading.Thread(target=lambda: results.append(asyncio.run(make())))
    thread.start()
    return thread


# --- one refresh -----------------------------------------------------------------------------------------------------


def test_a_hundred_threads(stage: Stage, client: Client) -> None:
    spoil(client)
    assert send_in_threads(client, f"{stage.api}/notes", 100) == [200] * 100
    assert refreshes(stage) == 1
    assert sorted(filter(None, notes(stage)))[:1] == [200]
    eventually(lambda: not workers())


@pytest.mark.parametrize("module", MODULES)
async def test_a_thousand_tasks(stage: Stage, client: Client, module: Any) -> None:
    spoil(client)
    assert await send_many(client, f"{stage.api}/notes", 1000, module) == [200] * 1000
    assert refreshes(stage) == 1


def test_threads_and_tasks_at_once(stage: Stage, client: Client) -> None:
    spoil(client)
    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH)
    results: list[Any] = []
    loops = [in_thread(lambda: send_many(client, f"{stage.api}/notes", 100), results) for _ in range(3)]
    opener = threading.Thread(target=lambda: open_once_refused(stage, 340))
    opener.start()
    assert send_in_threads(client, f"{stage.api}/notes", 40) == [200] * 40
    for thread in [*loops, opener]:
        thread.join(120)
    assert results == [[200] * 100] * 3
    assert refreshes(stage) == 1


def open_once_refused(stage: Stage, count: int) -> None:
    """Let the refresh end when so many requests have met their 401."""
    eventually(lambda: notes(stage).count(401) == count)
    stage.open_gate("refresh")


def test_all_who_wait_hear_that_it_was_in_vain(stage: Stage, client: Client) -> None:
    spoil(client)
    stage.add_fault("auth", DropBefore(), path=REFRESH)

    def send() -> str:
        with httpx.Client(auth=client.auth, timeout=60) as http, pytest.raises(RefreshUnavailable) as caught:
            http.get(f"{stage.api}/notes")
        return caught.value.code

    with ThreadPoolExecutor(20) as pool:
        codes = [future.result(60) for future in [pool.submit(send) for _ in range(20)]]
    assert set(codes) == {"refresh_unavailable"}
    assert refreshes(stage) == 2


async def test_all_who_wait_hear_of_the_end(stage: Stage, client: Client) -> None:
    spoil(client)
    stage.add_fault("auth", Answer(401), path=REFRESH)
    async with httpx.AsyncClient(auth=client.auth, timeout=60) as http:
        answers = await asyncio.gather(*(http.get(f"{stage.api}/notes") for _ in range(50)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {SessionExpired}
    assert len(set(map(id, answers))) == 50, "each has an error of its own"
    assert refreshes(stage) == 1


# --- several loops ---------------------------------------------------------------------------------------------------


def test_loops_one_after_another(stage: Stage, client: Client) -> None:
    for number in range(1, 6):
        spoil(client)
        assert asyncio.run(send_many(client, f"{stage.api}/notes", 20)) == [200] * 20
        assert refreshes(stage) == number


def test_loops_side_by_side(stage: Stage, client: Client) -> None:
    for number in range(1, 4):
        spoil(client)
        results: list[Any] = []
        for thread in [in_thread(lambda: send_many(client, f"{stage.api}/notes", 30), results) for _ in range(5)]:
            thread.join(120)
        assert results == [[200] * 30] * 5
        assert refreshes(stage) == number


def test_an_async_client_on_several_loops(stage: Stage) -> None:
    client = AsyncClient(stage.base_url, api_key=stage.publishable_key, origins=[stage.api])

    async def log_in() -> None:
        await client.login(stage.users[0].username, stage.users[0].password)

    async def profile() -> str:
        return (await client.profile()).id

    asyncio.run(log_in())
    spoil(client)
    results: list[Any] = []
    for thread in [in_thread(profile, results) for _ in range(5)]:
        thread.join(120)
    assert results == [stage.users[0].id] * 5
    assert refreshes(stage) == 1


def test_a_loop_that_ends_during_a_refresh(stage: Stage, client: Client) -> None:
    """The task that has started the refresh is gone, and its loop too; the thread that waits gets the tokens."""
    spoil(client)
    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH, times=1)
    loop = asyncio.new_event_loop()

    async def send() -> None:
        async with httpx.AsyncClient(auth=client.auth, timeout=60) as http:
            await http.get(f"{stage.api}/notes")

    task = loop.create_task(send())
    loop.run_until_complete(asyncio.to_thread(stage.wait_at_gate, "refresh"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: httpx.get(f"{stage.api}/notes", auth=client.auth, timeout=60).status_code)
        eventually(lambda: notes(stage).count(401) == 2)
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
        stage.open_gate("refresh")
        assert waiting.result(60) == 200
    assert refreshes(stage) == 1
    gc.collect()


# --- giving up -------------------------------------------------------------------------------------------------------


class CancelledAt:
    """Awaits `work`, and cancels the task that does so at that await of all within it. True when there are fewer."""

    def __init__(self, work: Coroutine[Any, Any, Any], place: int) -> None:
        self._work = work
        self._place = place

    def __await__(self) -> Generator[Any, Any, bool]:
        task = asyncio.current_task()
        assert task is not None
        step = partial(self._work.send, None)
        for place in itertools.count():
            try:
                waited_for = step()
            except StopIteration:
                return True
            except asyncio.CancelledError:
                return False
            if place == self._place:
                task.cancel()
            try:
                step = partial(self._work.send, (yield waited_for))
            except BaseException as error:  # noqa: BLE001 - whatever it is, the work hears of it
                step = partial(self._work.throw, error)
        raise AssertionError


async def test_a_task_can_be_cancelled_at_every_await(stage: Stage, client: Client) -> None:
    """Whichever await it is: the others get their tokens, by one refresh, and nothing is held afterwards."""
    ended, place = False, 0
    while not ended:
        spoil(client)
        stage.reset()
        async with httpx.AsyncClient(auth=client.auth, timeout=60) as http:
            ended = await CancelledAt(http.get(f"{stage.api}/notes"), place)
        assert await send_many(client, f"{stage.api}/notes", 3) == [200] * 3
        assert refreshes(stage) == 1, place
        assert not client._core._flights._open
        place += 1
    assert place > 3


async def test_who_waits_is_not_cancelled_with_who_leads(stage: Stage, client: Client) -> None:
    spoil(client)
    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH, times=1)
    async with httpx.AsyncClient(auth=client.auth, timeout=60) as http:
        leader = asyncio.create_task(http.get(f"{stage.api}/notes"))
        await asyncio.to_thread(stage.wait_at_gate, "refresh")
        followers = [asyncio.create_task(http.get(f"{stage.api}/notes")) for _ in range(10)]
        await asyncio.to_thread(eventually, lambda: notes(stage).count(401) == 11)
        leader.cancel()
        followers[0].cancel()
        assert isinstance((await asyncio.gather(leader, return_exceptions=True))[0], asyncio.CancelledError)
        await asyncio.to_thread(stage.open_gate, "refresh")
        answers = await asyncio.gather(*followers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [getattr(answer, "status_code", answer) for answer in answers[1:]] == [200] * 9
    assert refreshes(stage) == 1


async def test_a_cancelled_operation_is_harmless(stage: Stage) -> None:
    client = AsyncClient(stage.base_url, api_key=stage.publishable_key, origins=[stage.api])
    user = stage.users[0]
    stage.add_fault("auth", Gate("login"), path="/v1/api/oauth/token", times=1)
    task = asyncio.create_task(client.login(user.username, user.password))
    await asyncio.to_thread(stage.wait_at_gate, "login")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(stage.open_gate, "login")
    await client.login(user.username, user.password)
    for place in range(4):
        spoil(client)
        if await CancelledAt(client.profile(), place):
            break
    await client.close()
    assert (await client.profile()).id == user.id
    assert await client.logout() == "revoked"


async def test_nothing_blocks_the_loop(stage: Stage) -> None:
    """While the service hangs, and while a store is locked, everything else goes on."""
    client = AsyncClient(stage.base_url, api_key=stage.publishable_key, origins=[stage.api])
    await client.login(stage.users[0].username, stage.users[0].password)
    spoil(client)
    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH, times=1)
    async with httpx.AsyncClient(auth=client.auth, timeout=60) as http:
        task = asyncio.create_task(http.get(f"{stage.api}/notes"))
        await asyncio.to_thread(stage.wait_at_gate, "refresh")
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        assert (await http.get(f"{stage.other}/free")).status_code == 200
        await asyncio.to_thread(stage.open_gate, "refresh")
        assert (await task).status_code == 200


async def test_no_thread_waits_for_a_task(stage: Stage, client: Client) -> None:
    spoil(client)
    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH, times=1)
    sending = asyncio.create_task(send_many(client, f"{stage.api}/notes", 200))
    await asyncio.to_thread(stage.wait_at_gate, "refresh")
    await asyncio.to_thread(eventually, lambda: notes(stage).count(401) == 200)
    assert len(workers()) == 1
    await asyncio.to_thread(stage.open_gate, "refresh")
    assert await sending == [200] * 200


# --- forks, copies and the end ---------------------------------------------------------------------------------------

FORKED = """
import os, sys, threading, time
import httpx, requests
from keybearer.client import Client, FileStore, MemoryStore
from tests.client.acting import spoil
from tests.stage.client import Stage
from tests.stage.faults import GateAfter
import msgspec

stage = msgspec.json.decode(sys.argv[1], type=Stage)
store = FileStore(sys.argv[3]) if sys.argv[2] == "file" else MemoryStore()
client = Client(stage.base_url, api_key=stage.publishable_key, origins=[stage.api], store=store)
client.login(stage.users[3].username, stage.users[3].password)

def get():
    with httpx.Client(auth=client.auth, timeout=60) as http:
        assert http.get(f"{stage.api}/notes").status_code == 200
    with client.attach(requests.Session()) as session:
        assert session.get(f"{stage.api}/notes", timeout=60).status_code == 200

def child_of(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return child

spoil(client)
first = child_of(get)
get()
assert os.waitpid(first, 0)[1] == 0

spoil(client)
stage.add_fault("auth", GateAfter("refresh"), path="/v1/api/oauth/token/refresh", times=1)
waiting = threading.Thread(target=get)
waiting.start()
stage.wait_at_gate("refresh")
# The parent's thread is in the middle of a refresh, and holds every lock that one holds.
def open_and_get():
    if sys.argv[2] == "file":
        threading.Timer(1, stage.open_gate, ["refresh"]).start()
    get()
second = child_of(open_and_get)
if sys.argv[2] == "memory":
    assert os.waitpid(second, 0)[1] == 0  # with a refresh of its own, while the parent's goes on
    stage.open_gate("refresh")
waiting.join(60)
assert not waiting.is_alive()
if sys.argv[2] == "file":
    assert os.waitpid(second, 0)[1] == 0
get()
print("done", client.signed_in)
"""


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_fork_with_and_without_a_refresh_under_way(stage: Stage, kind: str, tmp_path: Any) -> None:
    import msgspec  # noqa: PLC0415

    command = [sys.executable, "-c", FORKED, msgspec.json.encode(stage).decode(), kind, str(tmp_path / "s.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("done True\n", "")


def test_a_client_can_be_pickled(stage: Stage, client: Client) -> None:
    copy = pickle.loads(pickle.dumps(client))  # noqa: S301
    assert type(copy) is Client
    assert copy.profile().id == stage.users[0].id
    with httpx.Client(auth=pickle.loads(pickle.dumps(client)).auth) as http:  # noqa: S301
        assert http.get(f"{stage.api}/notes").status_code == 200
    session = pickle.loads(pickle.dumps(client.attach(requests.Session())))  # noqa: S301
    assert session.get(f"{stage.api}/notes").status_code == 200
    session.close()
    assert record_of(copy).age == record_of(client).age


def test_errors_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(RefreshUnavailable("Later.", 7.5)))  # noqa: S301
    assert (error.detail, error.retry_after, error.code) == ("Later.", 7.5, "refresh_unavailable")


ENDING = """
import sys, threading
from keybearer.client import Client
import msgspec
from tests.stage.client import Stage

stage = msgspec.json.decode(sys.argv[1], type=Stage)
client = Client(stage.base_url, api_key=stage.publishable_key)
client.login(stage.users[3].username, stage.users[3].password)
flight = client._core.refreshing(client._core.known, proactive=False)
print("ends")
"""


def test_a_program_can_end_during_a_refresh(stage: Stage) -> None:
    import msgspec  # noqa: PLC0415

    stage.add_fault("auth", GateAfter("refresh"), path=REFRESH, times=1)
    command = [sys.executable, "-W", "error", "-c", ENDING, msgspec.json.encode(stage).decode()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("ends\n", "", 0)


def test_closing_waits_for_an_answer(stage: Stage, client: Client) -> None:
    token = session_of(client).access_token
    client._core.refreshing(record_of(client), proactive=False)
    with client:
        pass
    assert session_of(client).access_token != token
