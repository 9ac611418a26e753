"""`python -m bench.client`: what the client adds to a request that needs no refresh, and to the start of a program.

Each transport makes its requests bare and with the credentials in turns, all in one process. Behind it is no network,
whose noise would be greater than what is measured.
"""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import httpx
import httpx2
import requests
from requests.adapters import BaseAdapter

from bench.figures import Figures
from keybearer.client import Client, MemoryStore
from keybearer.client._record import Record, Session, User, dump
from keybearer.credentials.api_key import ApiKeyKind, make_api_key

TURNS = 200
REQUESTS = 30
"""Of one turn, bare ones and as many with the credentials: short enough that few turns are interrupted."""

WARMING = 5
STARTS = 7
SERVICE = "https://auth.example.com:443/v1/api"
URL = "https://api.example.com/notes"

MOST_ADDED: Final = 10.0
"""Microseconds."""

LONGEST_IMPORT: Final = 50.0
"""Milliseconds."""

_IMPORT = """
import time
began = time.perf_counter()
import keybearer.client
print((time.perf_counter() - began) * 1e3)
"""

Batch = Callable[[int], None]
"""Makes so many requests."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Requests without the credentials and with them, and who answers both."""

    bare: Batch
    ours: Batch
    answering: "_Answering"


def measure(figures: Figures) -> None:
    """One round of everything, in a process of its own."""
    found = subprocess.run((sys.executable, "-m", "bench.client"), capture_output=True, text=True, check=True).stdout
    for name, (value, unit, bound) in json.loads(found).items():
        figures.add(name, value, unit=unit, bound=bound, at_least=False)


def main() -> None:
    found: dict[str, tuple[float, str, float]] = {}
    for transport, (wall, processor) in _added().items():
        found[f"client, added to a request of {transport}"] = wall, "us", MOST_ADDED
        found[f"client, added to a request of {transport}, CPU"] = processor, "us", MOST_ADDED
    found["client, import"] = _import_time(), "ms", LONGEST_IMPORT
    print(json.dumps(found, indent=2))


def _import_time() -> float:
    """Milliseconds, in interpreters that have imported nothing else; the shortest, for others use the machine too."""
    command = (sys.executable, "-c", _IMPORT)
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(STARTS)]
    return min(map(float, runs))


# --- requests --------------------------------------------------------------------------------------------------------


def _added() -> dict[str, tuple[float, float]]:
    """Microseconds that a request takes longer by the wall clock, and on the processor, by transport."""
    client = _signed_in()
    with ExitStack() as stack:
        pairs = {"requests": stack.enter_context(_requests_pair(client))}
        for module in (httpx, httpx2):
            pairs[module.__name__] = stack.enter_context(_sync_pair(client, module))
            pairs[f"{module.__name__}, async"] = stack.enter_context(_async_pair(client, module))
        for pair in pairs.values():
            _begin(pair)
        gc.collect()
        gc.disable()
        turns = [{name: _turn(pair, number) for name, pair in pairs.items()} for number in range(TURNS)]
    return {name: (_middle(turns, name, 0), _middle(turns, name, 1)) for name in pairs}


def _begin(pair: Pair) -> None:
    """What is made at the first request is not measured; and the second of the pair does what it is measured for."""
    for batch in (pair.bare, pair.ours):
        batch(REQUESTS)
    sent = pair.answering.last.headers
    if "Api-Key" not in sent or "Authorization" not in sent:
        raise RuntimeError("the credentials were not sent: this run measures nothing")


def _turn(pair: Pair, number: int) -> tuple[float, float]:
    """Every other time the bare ones come last: what comes second finds the processor's caches warmer."""
    if number % 2:
        (bare_wall, bare_processor), (wall, processor) = _time(pair.bare), _time(pair.ours)
    else:
        (wall, processor), (bare_wall, bare_processor) = _time(pair.ours), _time(pair.bare)
    return wall - bare_wall, processor - bare_processor


def _middle(turns: list[dict[str, tuple[float, float]]], name: str, clock: int) -> float:
    return statistics.median(turn[name][clock] for turn in turns)


def _time(batch: Batch) -> tuple[float, float]:
    """Microseconds of one request, by the wall clock and on the processor."""
    batch(WARMING)
    began, processor_began = time.perf_counter(), time.process_time()
    batch(REQUESTS)
    wall, processor = time.perf_counter() - began, time.process_time() - processor_began
    return wall / REQUESTS * 1e6, processor / REQUESTS * 1e6


def _signed_in() -> Client:
    """A client whose access token is good for an hour, and which need not ask anybody."""
    user = User("0198c0de-0000-7000-8000-000000000001", "jane@example.com", "Jane", "Doe")
    token = ".".join(["e" * 80, "e" * 300, "e" * 86])
    session = Session(token, f"kbr_{'e' * 120}", time.time() + 3600, 3600, "0198c0de-0000-7000-8000-000000000002", user)
    store = MemoryStore()
    store.replace(None, dump(Record(SERVICE, 1, session=session)))
    key = make_api_key(ApiKeyKind.PUBLISHABLE, bytes(32))
    return Client(SERVICE, api_key=key, origins=[URL.removesuffix("/notes")], store=store)


class _Answering(BaseAdapter):
    """Answers 200 to everything, as a transport of httpx, of httpx2 or of requests does."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__()
        self._module = module
        self.last: Any = None

    def handle(self, request: Any) -> Any:
        self.last = request
        return self._module.Response(200)

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        self.last = request
        answer = requests.Response()
        answer.status_code = 200
        answer.url = URL
        return answer

    def close(self) -> None:
        pass


@contextmanager
def _sync_pair(client: Client, module: ModuleType) -> Iterator[Pair]:
    answering = _Answering(module)
    transport = module.MockTransport(answering.handle)
    with module.Client(transport=transport) as bare, module.Client(transport=transport, auth=client.auth) as ours:
        yield Pair(_batch(bare), _batch(ours), answering)


@contextmanager
def _async_pair(client: Client, module: ModuleType) -> Iterator[Pair]:
    answering = _Answering(module)
    transport = module.MockTransport(answering.handle)
    bare, ours = module.AsyncClient(transport=transport), module.AsyncClient(transport=transport, auth=client.auth)
    with asyncio.Runner() as runner:
        yield Pair(lambda count: runner.run(_ask(bare, count)), lambda count: runner.run(_ask(ours, count)), answering)
        runner.run(bare.aclose())
        runner.run(ours.aclose())


@contextmanager
def _requests_pair(client: Client) -> Iterator[Pair]:
    answering = _Answering(requests)
    with requests.Session() as bare, requests.Session() as ours:
        for session in (bare, ours):
            session.mount("https://", answering)
            session.trust_env = False  # both would look for proxies, for many times as long as all that is measured
        yield Pair(_batch(bare), _batch(client.attach(ours)), answering)


def _batch(http: Any) -> Batch:
    def send(count: int) -> None:
        for _ in range(count):
            http.get(URL)

    return send


async def _ask(http: Any, count: int) -> None:
    for _ in range(count):
        await http.get(URL)


if __name__ == "__main__":
    main()
