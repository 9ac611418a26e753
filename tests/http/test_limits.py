"""The limiter and the hash queue: what a stranger can use up, and what he cannot."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from uuid import UUID

import pytest

from keybearer.errors import StorageUnavailable
from keybearer.server.domain.attempts import Admission
from keybearer.server.domain.places import origin_of
from keybearer.server.http.head import Head
from keybearer.server.http.request import Request, RequestLimits
from tests.http.world import HANG, HASH_THREADS, World, attributes, code_of, running
from tests.support.backends import Backend

TRUSTING = {"trusted_proxies": "127.0.0.1/32"}
PATIENT = {"hash_wait_limit": "60"}
"""On a busy machine a hash may take seconds."""


@asynccontextmanager
async def hashes_held_up(world: World) -> AsyncIterator[threading.Event]:
    """For the block, or until the event is set, the threads have something else to do."""
    free = threading.Event()
    threads = asyncio.gather(*(_hold_up(world, free) for _ in range(HASH_THREADS)))
    await until(lambda: world.hasher.running == HASH_THREADS)
    try:
        yield free
    finally:
        free.set()
        await threads


async def _hold_up(world: World, free: threading.Event) -> None:
    with world.hasher._claimed(known_place=True) as claim:
        await world.hasher._run(lambda: free.wait(HANG), claim, known_place=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG):
        while not holds():
            await asyncio.sleep(0.01)


async def log_in_from(world: World, address: str, password: str, username: str = "jane@example.com") -> tuple[int, str]:
    answer = await world.log_in(username, password, headers={"X-Forwarded-For": address})
    return (200, "") if answer.status_code == 200 else code_of(answer)


async def test_parallel_guesses_are_charged_one_by_one(backend: Backend) -> None:
    async with running(backend, {"limit_address": "1000", "hash_per_address_limit": "500"}) as world:
        before = world.hasher.verifications
        answers = await asyncio.gather(*(world.log_in(password=f"guess {n}") for n in range(200)))
        outcomes = Counter(answer.status_code for answer in answers)
        assert outcomes == {401: 30, 429: 170}
        assert world.hasher.verifications - before == 30


async def test_an_address_is_limited_whatever_names_it_tries(backend: Backend) -> None:
    async with running(backend, {"limit_address": "20"}) as world:
        outcomes = [await world.log_in(f"user{n}@example.com", "guess") for n in range(25)]
        assert Counter(answer.status_code for answer in outcomes) == {401: 20, 429: 5}


async def test_a_flood_from_elsewhere_does_not_lock_the_owner_out(backend: Backend) -> None:
    async with running(backend, {**TRUSTING}) as world:
        home, password = "198.51.100.7", "correct horse battery"
        assert await log_in_from(world, home, password) == (200, "")
        for n in range(60):
            await log_in_from(world, f"203.0.113.{n}", "guess")
        assert (await log_in_from(world, "203.0.113.99", password))[0] == 429
        assert await log_in_from(world, home, password) == (200, "")
        assert await log_in_from(world, "198.51.100.200", password) == (200, "")


async def test_success_resets_the_name_and_not_the_address(backend: Backend) -> None:
    async with running(backend, {"limit_address": "12", "limit_name_unknown": "5", **TRUSTING}) as world:
        for n in range(4):
            assert (await log_in_from(world, f"192.0.2.{n}", "guess"))[0] == 401
        assert (await log_in_from(world, "192.0.2.9", "correct horse battery"))[0] == 200
        for n in range(4):
            assert (await log_in_from(world, f"192.0.3.{n}", "guess"))[0] == 401
        for n in range(12):
            await log_in_from(world, "10.0.0.1", "guess", f"nobody{n}@example.com")
        assert (await log_in_from(world, "10.0.0.1", "guess", "another@example.com"))[0] == 429


async def test_the_application_never_refuses_but_unknown_addresses_pay_more(backend: Backend) -> None:
    async with running(backend, {"limit_application": "10", "limit_address": "20", **TRUSTING}) as world:
        for n in range(12):
            await log_in_from(world, f"192.0.2.{n}", "guess", f"nobody{n}@example.com")
        outcomes = [await log_in_from(world, "10.0.0.1", "guess", f"other{n}@example.com") for n in range(6)]
        assert [status for status, _ in outcomes] == [401, 401, 401, 401, 429, 429]
        assert (await log_in_from(world, "198.51.100.7", "correct horse battery"))[0] == 200


async def test_an_unknown_name_is_limited_like_a_known_one(backend: Backend) -> None:
    async with running(backend, {"limit_address": "1000"}) as world:
        for username in ("jane@example.com", "nobody@example.com", "not a name at all"):
            outcomes = [(await world.log_in(username, "guess")).status_code for _ in range(32)]
            assert outcomes == [401] * 30 + [429] * 2


async def test_time_gives_attempts_back(backend: Backend) -> None:
    async with running(backend) as world:
        for _ in range(30):
            await world.log_in(password="guess")
        refused = await world.log_in(password="guess")
        assert refused.status_code == 429
        await world.advance(int(refused.headers["retry-after"]))
        assert (await world.log_in()).status_code == 200


async def test_every_refusal_costs_one_verification(world: World) -> None:
    """Unknown user, wrong password: the same body, and one verification each."""
    bodies = []
    for username in ("jane@example.com", "nobody@example.com", "+41446681801", "no name"):
        before = world.hasher.verifications
        answer = await world.log_in(username, "wrong password", headers={"X-Request-Id": "same"})
        bodies.append(answer.content)
        assert world.hasher.verifications == before + 1
    assert len(set(bodies)) == 1


async def test_a_full_queue_refuses_and_leaves_the_rest_alone(backend: Backend) -> None:
    """One source fills its share; a known place still gets in, and tokens are checked meanwhile."""
    limits = {
        "hash_queue_limit": "8",
        "hash_per_address_limit": "4",
        "limit_address": "1000",
        "limit_name_unknown": "1000",
    }
    async with running(backend, {**TRUSTING, **limits}) as world:
        session = attributes(await world.log_in(headers={"X-Forwarded-For": "198.51.100.7"}))
        flood = [
            asyncio.create_task(
                world.log_in("nobody@example.com", "guess", headers={"X-Forwarded-For": f"203.0.113.{n % 3}"})
            )
            for n in range(60)
        ]
        await asyncio.sleep(0.02)
        assert (await log_in_from(world, "198.51.100.7", "correct horse battery"))[0] == 200
        assert (await world.info(session["accessToken"])).status_code == 200
        answers = await asyncio.gather(*flood)
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused and {code_of(answer) for answer in refused} == {(503, "overloaded")}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert world.hasher.waiting == 0


async def test_who_finds_no_room_is_charged_nothing(backend: Backend) -> None:
    """More refusals than the name and the address have attempts: both have all of them afterwards."""
    limits = {"hash_queue_limit": "2", "limit_name_unknown": "2", "limit_address": "2"}
    async with running(backend, limits | TRUSTING | PATIENT) as world:
        async with hashes_held_up(world) as free:
            first = asyncio.create_task(log_in_from(world, "203.0.113.1", "guess", "nobody@example.com"))
            await until(lambda: world.hasher.waiting == 1)
            outcomes = [await log_in_from(world, "203.0.113.2", "guess") for _ in range(5)]
            assert outcomes == [(503, "overloaded")] * 5
            free.set()
            assert await first == (401, "invalid_credentials")
        outcomes = [await log_in_from(world, "203.0.113.2", "guess") for _ in range(3)]
        assert [status for status, _ in outcomes] == [401, 401, 429]


async def test_a_login_without_room_is_dear(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes two places in the turns of strangers, other refusals one."""
    judged: list[Mapping[str, bool]] = []
    async with running(backend, {"hash_queue_limit": "2"} | PATIENT) as world:
        monkeypatch.setattr(world.service.edge.turns, "judge", lambda **how: judged.append(how))
        async with hashes_held_up(world) as free:
            first = asyncio.create_task(world.log_in(password="guess"))
            await until(lambda: world.hasher.waiting == 1)
            assert code_of(await world.log_in(password="guess")) == (503, "overloaded")
            free.set()
            assert code_of(await first) == (401, "invalid_credentials")
    assert judged == [{"refused": True, "is_dear": True}, {"refused": True, "is_dear": False}]


async def test_a_known_place_finds_room_beside_a_flood(backend: Backend) -> None:
    home, password = "198.51.100.7", "correct horse battery"
    async with running(backend, {"hash_queue_limit": "2"} | TRUSTING | PATIENT) as world:
        assert await log_in_from(world, home, password) == (200, "")
        async with hashes_held_up(world) as free:
            stranger = asyncio.create_task(log_in_from(world, "203.0.113.1", "guess"))
            await until(lambda: world.hasher.waiting == 1)
            at_home = asyncio.create_task(log_in_from(world, home, password))
            await until(lambda: world.hasher.waiting == 2)
            assert await log_in_from(world, home, password) == (503, "overloaded")
            free.set()
            assert await at_home == (200, "")
            assert await stranger == (401, "invalid_credentials")


async def test_a_refused_attempt_gives_its_room_back(backend: Backend) -> None:
    limits = {"hash_queue_limit": "2", "limit_name_unknown": "1"}
    async with running(backend, limits) as world:
        outcomes = [(await world.log_in(password="guess")).status_code for _ in range(5)]
        assert outcomes == [401, 429, 429, 429, 429]
        assert_all_room_is_free(world)
        assert (await world.log_in("other@example.com", "guess")).status_code == 401


async def test_who_waits_to_be_charged_has_room_until_that_fails(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(backend, {"hash_queue_limit": "2"}) as world:
        under_way, fails = asyncio.Event(), asyncio.Event()

        async def admit(*_: object) -> Admission:
            under_way.set()
            await fails.wait()
            raise StorageUnavailable

        monkeypatch.setattr(world.storage.attempts, "admit", admit)
        asking = asyncio.create_task(world.log_in())
        await until(under_way.is_set)
        assert code_of(await world.log_in()) == (503, "overloaded")
        fails.set()
        assert code_of(await asking) == (503, "storage_unavailable")
        assert_all_room_is_free(world)
        monkeypatch.undo()
        assert (await world.log_in()).status_code == 200


async def test_a_user_is_looked_up_only_where_it_could_give_him_room(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"hash_queue_limit": "4", "hash_per_address_limit": "1"}
    async with running(backend, limits | TRUSTING | PATIENT) as world:
        attempts = world.storage.attempts
        looked_up: list[str] = []

        async def find_at_home(identifier: str, place_hash: bytes) -> UUID | None:
            looked_up.append(identifier)
            return await original(identifier, place_hash)

        original = attempts.find_at_home
        monkeypatch.setattr(attempts, "find_at_home", find_at_home)
        assert (await log_in_from(world, "203.0.113.1", "guess"))[0] == 401
        async with hashes_held_up(world) as free:
            waiting = [asyncio.create_task(log_in_from(world, "203.0.113.1", "guess"))]
            await until(lambda: world.hasher.waiting == 1)
            assert await log_in_from(world, "203.0.113.1", "guess") == (503, "overloaded")  # his share is taken
            assert looked_up == []
            waiting.append(asyncio.create_task(log_in_from(world, "203.0.113.2", "guess")))
            await until(lambda: world.hasher.waiting == 2)
            assert await log_in_from(world, "203.0.113.3", "guess", "who@example.com") == (503, "overloaded")
            assert looked_up == ["who@example.com"]
            assert await log_in_from(world, "203.0.113.1", "guess") == (503, "overloaded")  # his share is taken still
            assert looked_up == ["who@example.com"]
            free.set()
            await asyncio.gather(*waiting)


async def test_a_user_has_his_share_of_the_room_for_known_places(backend: Backend) -> None:
    """From however many addresses of a place that he knows."""
    limits = {"hash_queue_limit": "6", "hash_per_address_limit": "2"}
    password = "correct horse battery"
    async with running(backend, limits | TRUSTING | PATIENT) as world:
        assert await log_in_from(world, "198.51.100.7", password) == (200, "")
        async with hashes_held_up(world) as free:
            tasks = [asyncio.create_task(log_in_from(world, f"203.0.113.{n}", "guess", "who")) for n in range(3)]
            await until(lambda: world.hasher.waiting == 3)
            tasks += [asyncio.create_task(log_in_from(world, f"198.51.100.{n}", password)) for n in range(2)]
            await until(lambda: world.hasher.waiting == 5)
            assert await log_in_from(world, "198.51.100.3", password) == (503, "overloaded")
            free.set()
            outcomes = await asyncio.gather(*tasks)
        assert [status for status, _ in outcomes] == [401] * 3 + [200] * 2


def assert_all_room_is_free(world: World) -> None:
    queue = world.hasher._queue
    assert (queue.claimed, len(queue), queue._in_hand) == (0, 0, {})


async def test_whoever_has_gone_is_not_hashed(backend: Backend) -> None:
    async with running(backend) as world, hashes_held_up(world) as free:
        before = world.hasher.verifications
        asking = [asyncio.create_task(world.log_in()) for _ in range(5)]
        await until(lambda: world.hasher.waiting == 5)
        for task in asking[:4]:
            task.cancel()
        await until(lambda: world.hasher.waiting == 1)
        free.set()
        assert (await asking[4]).status_code == 200
        assert world.hasher.verifications == before + 1


async def test_a_login_is_refused_when_its_turn_does_not_come(backend: Backend) -> None:
    async with running(backend, {"hash_wait_limit": "1"}) as world, hashes_held_up(world):
        answer = await world.log_in()
        assert code_of(answer) == (503, "overloaded") and int(answer.headers["retry-after"]) >= 1
        assert world.hasher.waiting == 0


def test_prefixes_of_addresses() -> None:
    assert origin_of("::ffff:192.0.2.1") == origin_of("192.0.2.1")
    assert origin_of("2001:db8:1:2:3::4").address == "2001:db8:1:2::/64"
    assert origin_of("2001:db8:1:2:3::4").network == "2001:db8:1::/48"
    assert origin_of("192.0.2.1").place == "192.0.2.0/24"
    assert origin_of("nonsense") == origin_of("")


async def test_an_alarm_never_shuts_an_address_out_by_itself(backend: Backend) -> None:
    """An allowance smaller than what an attempt costs under alarm still admits one attempt."""
    async with running(backend, {"limit_application": "1", "limit_address": "2", **TRUSTING}) as world:
        for n in range(3):
            await log_in_from(world, f"192.0.2.{n}", "guess", f"nobody{n}@example.com")
        assert (await log_in_from(world, "198.51.100.7", "correct horse battery"))[0] == 200


def address_of(peer: str, *named: str) -> str:
    """The client's address by a peer and the headers X-Forwarded-For; 10.0.0.0/8 is trusted."""
    headers = [(b"x-forwarded-for", text.encode()) for text in named]
    limits = RequestLimits(trusted_proxies=(ip_network("10.0.0.0/8"),))
    return Request(Head("GET", "/", b"", headers), (peer, 1), limits, lambda: "id").actor().address


def test_a_trusted_proxy_is_recognised_over_a_dual_stack_socket() -> None:
    named = "192.0.2.66, 198.51.100.7"
    assert address_of("10.1.2.3", named) == "198.51.100.7"
    assert address_of("::ffff:10.1.2.3", named) == "198.51.100.7"
    assert address_of("203.0.113.5", named) == "203.0.113.5"


def test_of_a_chain_of_proxies_the_last_that_is_not_trusted_is_the_client() -> None:
    assert address_of("10.0.0.1", "192.0.2.66, 198.51.100.7 , ,10.0.0.3,", "10.0.0.2") == "198.51.100.7"
    assert address_of("10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"
    assert address_of("10.0.0.1") == "10.0.0.1"
    assert address_of("10.0.0.1", "198.51.100.7" + ", 10.0.0.2" * 1000) == "10.0.0.2"
    assert len(address_of("10.0.0.1", "x" * 1000)) <= 64
