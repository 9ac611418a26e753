"""`python -m bench.guard`: what the guard costs the service that it stands before.

Figures are medians of rounds that are interleaved, each in a process of its own: memory and the tables of one round are
not those of the next. Of the memory of a million entries, the interpreter's own is taken away.
"""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from bench.figures import Figures
from keybearer.base64url import decode_base64url
from keybearer.guard import Credentials
from keybearer.guard._clock import steady_clock
from keybearer.guard._core import CredentialState
from keybearer.guard._snapshot import read_snapshot
from keybearer.guard.asgi import GuardedApp
from keybearer.guard.state import RevokedSession
from keybearer.testing import FakeIssuer

ROUNDS = 3
TOKENS = 1000
CALLS = 200_000
FIRST_SIGHTS = 3000
ENTRIES = 1_000_000
CHUNK = 65_536


def measure(figures: Figures) -> None:
    """One round of everything, each in a process of its own."""
    for name, unit, bound, at_least in FIGURES:
        figures.add(name, _run_alone(name), unit=unit, bound=bound, at_least=at_least)


def _run_alone(name: str) -> float:
    command = (sys.executable, "-m", "bench.guard", name)
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# --- verification ----------------------------------------------------------------------------------------------------


class _Callers:
    """A guard in memory, and requests to it: texts that no dict has seen, as a server makes them of bytes."""

    def __init__(self, entries: int) -> None:
        self.issuer = FakeIssuer()
        self.guard = self.issuer.guard()
        self.key = self.issuer.api_key()
        self.tokens = [self.issuer.access_token(roles=["editor"]) for _ in range(TOKENS)]
        state = self.guard._knowledge.state
        for entry in _revoked(entries):
            state.apply(entry)
        clock = self.guard._knowledge.clock
        clock._setting = (self.issuer.steady() - steady_clock(), 0)
        clock._steady = steady_clock

    def requests(self, count: int) -> list[tuple[bytes, bytes]]:
        key = self.key.encode()
        return [(key, b"Bearer " + self.tokens[number % TOKENS].encode()) for number in range(count)]


def _remembered(entries: int) -> float:
    """Calls a second, of tokens that are known."""
    callers = _Callers(entries)
    guard = callers.guard
    verify = guard.verify
    rates = []
    for _ in range(5):
        requests = [(key.decode(), value.decode()) for key, value in callers.requests(CALLS // 5)]
        gc.collect()
        began = time.perf_counter()
        for key, value in requests:
            verify(Credentials(key, value))
        rates.append(len(requests) / (time.perf_counter() - began))
    return statistics.median(rates)


def _first_sight() -> float:
    """Tokens that were never seen, to bare signatures of the crypto library over the same bytes, in turns of fifty."""
    callers = _Callers(0)
    tokens = [callers.issuer.access_token(roles=["editor"]) for _ in range(FIRST_SIGHTS)]
    bare = [_bare(token) for token in tokens]
    public: Any = callers.issuer._signing_keys[-1].verification_key()._public._key
    algorithm = ec.ECDSA(SHA256())
    ratios = []
    for at in range(0, FIRST_SIGHTS, 50):
        requests = [Credentials(callers.key, f"Bearer {token}") for token in tokens[at : at + 50]]
        began = time.perf_counter()
        for signature, data in bare[at : at + 50]:
            public.verify(signature, data, algorithm)
        between = time.perf_counter()
        for credentials in requests:
            callers.guard.verify(credentials)
        ratios.append((between - began) / (time.perf_counter() - between))
    return statistics.median(ratios)


def _wrapper() -> float:
    """Microseconds that the ASGI wrapper adds to a request of an application that does next to nothing."""
    callers = _Callers(0)
    wrapped = GuardedApp(_plain, callers.guard)
    key = callers.key.encode()
    scopes = [
        {"type": "http", "path": "/", "headers": [(b"api-key", key), (b"authorization", b"Bearer " + token.encode())]}
        for token in callers.tokens
    ]
    return asyncio.run(_added(wrapped, scopes))


async def _added(wrapped: GuardedApp, scopes: list[dict[str, Any]]) -> float:
    added = []
    for _ in range(20):
        began = time.perf_counter()
        for scope in scopes:
            await _plain(scope, _nothing, _swallow)
        between = time.perf_counter()
        for scope in scopes:
            await wrapped(scope, _nothing, _swallow)
        added.append((time.perf_counter() - between) - (between - began))
    return statistics.median(added) / len(scopes) * 1e6


async def _plain(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - an ASGI application
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


async def _swallow(message: Any) -> None:
    pass


def _bare(token: str) -> tuple[bytes, bytes]:
    """Signature and data of a token, as the crypto library takes them."""
    signed, _, text = token.rpartition(".")
    signature = decode_base64url(text) or b""
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    return encode_dss_signature(r, s), signed.encode()


# --- a million entries -----------------------------------------------------------------------------------------------


def _revoked(count: int) -> Iterator[RevokedSession]:
    """Sessions that end within a quarter of an hour, as those of a busy service do; ids are random."""
    now = FakeIssuer().steady() // 1_000_000
    for number in range(count):
        yield RevokedSession(_id(number), now + 120_000 + number * 900_000 // count)


def _id(number: int) -> str:
    return str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))


def _memory() -> float:
    """Megabytes of a million revocations."""
    state = CredentialState()
    state.apply(RevokedSession(_id(ENTRIES), 0))
    gc.collect()
    before = _resident()
    for entry in _revoked(ENTRIES):
        state.apply(entry)
    gc.collect()
    return (_resident() - before) / 1e6


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def _snapshot_text() -> bytes:
    head = {
        "epoch": "e",
        "position": 1,
        "asOf": 1,
        "now": 1,
        "issuer": "https://auth.example.com",
        "audience": "https://auth.example.com",
        "keySetVersion": 1,
        "applications": [],
        "keys": [],
    }
    sessions = ",".join(
        f'{{"kind":"session","id":"{entry.id}","expiresAt":{entry.expires_at}}}' for entry in _revoked(ENTRIES)
    )
    return f'{json.dumps(head)[:-1]},"sessions":[{sessions}],"users":[]}}'.encode()


def _load() -> float:
    """Seconds that a snapshot of a million entries takes, beside an event loop that is awake every millisecond."""
    return asyncio.run(_load_beside_loop())[0]


def _longest_block() -> float:
    """Milliseconds that this event loop was late at most, while the snapshot was loaded and the old one went."""
    return asyncio.run(_load_beside_loop())[1]


async def _load_beside_loop() -> tuple[float, float]:
    text = _snapshot_text()
    state = CredentialState()
    for entry in _revoked(ENTRIES):
        state.apply(entry)
    gc.collect()
    gc.freeze()  # what the bench itself has made is not the guard's to walk through
    seconds: list[float] = []
    loading = threading.Thread(target=_take, args=(state, text, seconds))
    late = 0.0
    loading.start()
    while loading.is_alive():
        asleep = time.perf_counter()
        await asyncio.sleep(0.001)
        late = max(late, time.perf_counter() - asleep - 0.001)
    return seconds[0], late * 1000


def _take(state: CredentialState, text: bytes, seconds: list[float]) -> None:
    """As the follower's thread does; the pieces come from memory."""
    began = time.perf_counter()
    chunks = (text[at : at + CHUNK] for at in range(0, len(text), CHUNK))
    snapshot = read_snapshot(chunks, max_bytes=96 * 2**20, on_member=lambda *_: None)
    old = state.revocations
    state.use(snapshot.applications, snapshot.keys, snapshot.revocations, snapshot.key_set_version)
    seconds.append(time.perf_counter() - began)
    old.dissolve()


# ---------------------------------------------------------------------------------------------------------------------

_MEASUREMENTS: Final[dict[str, tuple[Callable[[], float], str, float, bool]]] = {
    "guard, remembered token": (lambda: _remembered(0), "/s", 400_000, True),
    "guard, remembered token, 1,000,000 revocations": (lambda: _remembered(ENTRIES), "/s", 400_000, True),
    "guard, first sight, to bare signatures": (_first_sight, "x", 0.8, True),
    "guard, added by the ASGI wrapper": (_wrapper, "us", 10, False),
    "guard, memory of 1,000,000 revocations": (_memory, "MB", 150, False),
    "guard, snapshot of 1,000,000 revocations": (_load, "s", 5, False),
    "guard, longest block of the event loop": (_longest_block, "ms", 20, False),
}

FIGURES: Final = [(name, unit, bound, at_least) for name, (_, unit, bound, at_least) in _MEASUREMENTS.items()]


def main() -> None:
    if len(sys.argv) > 1:
        print(_MEASUREMENTS[sys.argv[1]][0]())
        return
    figures = Figures()
    for _ in range(ROUNDS):
        measure(figures)
    print(figures.table({}))


if __name__ == "__main__":
    main()
