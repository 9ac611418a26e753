"""`make bench-parts`: where the time goes. What each operation takes of a core under full load, by what the threads of
the service do, beside what its parts take by themselves. `--record` writes docs/limits.md.

Figures are medians of rounds that are interleaved. The service has one core, `wrk` and PostgreSQL the other.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.bare import bare_server
from bench.figures import machine
from bench.load import Load, run_wrk
from bench.service import PASSWORD, SERVER_CORE, Bench, generated_world, postgres_bench, sqlite_bench
from bench.usage import Usage, usage_of

ROUNDS = 3
SECONDS = 3
TOKENS = 1000
REFRESHES = 24_000
FRESH = 45_000
USERS = 1000
ANSWER_BYTES = 920
"""Of a token info with its headers, about."""
RECORD = Path(__file__).parent.parent / "docs" / "limits.md"

_SETTINGS = """
import os
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from keybearer.server.adapters.passwords.schemes import hash_password
key, scheme, data = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(SHA256()), b"x" * 500
public, signature = key.public_key(), key.sign(data, scheme)
def measure(work):
    began, count = os.times(), 0
    while os.times().user + os.times().system < began.user + began.system + 1:
        work()
        count += 1
    ended = os.times()
    for spent in (ended.user - began.user, ended.system - began.system):
        print(spent / count * 1e6)
"""
_TOKENS = """
from keybearer.guard import Credentials
from keybearer.testing import FakeIssuer
issuer = FakeIssuer()
guard, api_key = issuer.guard(), issuer.api_key()
tokens = iter([f"Bearer {issuer.access_token()}" for _ in range(40_000)])
"""
_REFRESHING = """
from uuid import UUID
from keybearer.credentials.refresh_token import make_refresh_token, parse_refresh_token, verify_mac
from keybearer.server.http.answer import answer_json
from keybearer.strict_json import loads
from keybearer.testing import FakeIssuer
from keybearer.wire.documents import Document, RefreshRequest, Resource, SessionAttributes
from keybearer.wire.problems import validate_members
issuer, mac_key, session = FakeIssuer(), b"k" * 32, UUID(int=7)
def make():
    return make_refresh_token(mac_key, key_id=1, session_id=session, place=2, moved_at=3, nonce=b"n" * 16)
token, access_token = make(), issuer.access_token()
body = b'{"refresh_token":"%b"}' % token.encode()
attributes = SessionAttributes(access_token, token, "Bearer", 900, 2592000, str(session), "a@example.com", "A", "B")
"""
_PARTS = {
    "body": (_REFRESHING, "validate_members(RefreshRequest, loads(body))"),
    "presented": (_REFRESHING, "verify_mac(mac_key, parse_refresh_token(token))"),
    "refresh token": (_REFRESHING, "make()"),
    "access token": (_REFRESHING, "issuer.access_token()"),
    "answer": (_REFRESHING, 'answer_json(Document(Resource(str(session), "session", attributes)))'),
    "signature": ("", "key.sign(data, scheme)"),
    "verification": ("", "public.verify(signature, data, scheme)"),
    "guard": (_TOKENS, "guard.verify(Credentials(api_key, next(tokens)))"),
    "hash": ("", 'hash_password(b"correct horse battery")'),
}

_MEMORY = (
    ("the interpreter", "sys"),
    ("asyncio, uvloop, uvicorn, httptools", "uvloop uvicorn httptools"),
    ("cryptography", "cryptography.hazmat.primitives.asymmetric.ec cryptography.hazmat.primitives.serialization"),
    ("typer and what it imports", "typer"),
    ("structlog and what it imports", "structlog"),
    (
        "msgspec, prometheus_client, nacl, argon2, bcrypt, sqlite3",
        "msgspec prometheus_client nacl argon2 bcrypt sqlite3",
    ),
    ("Keybearer", "keybearer.server.cli.serve"),
)
_IMPORTS = """
import importlib, re, sys
for names in sys.argv[1:]:
    for name in names.split():
        importlib.import_module(name)
    print(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of request. `connections` are as many as in `bench.run`."""

    name: str
    script: str
    path: str
    data: str
    connections: int
    module: str = "keybearer"

    def data_of(self, number: int) -> str:
        return self.data.format(number)


_INFO = Operation("token info", "info", "/token/info", "access", 32)
_FIRST = Operation("token info, each token for the first time", "info", "/token/info", "fresh{}", 32)
_REFRESH = Operation("refresh", "refresh", "/token/refresh", "refresh{}", 64)
LOGIN = Operation("login", "login", "/token", "users", 8)
_HASHLESS = Operation("login without its hash", "login", "/token", "users", 8, "bench.without_hash")
_OPERATIONS = {"SQLite": (_INFO, _FIRST, _REFRESH, LOGIN, _HASHLESS), "PostgreSQL": (_REFRESH, LOGIN, _HASHLESS)}


@dataclass(frozen=True, slots=True)
class Part:
    """Microseconds of a core, the program's and the kernel's."""

    user: float
    kernel: float

    @classmethod
    def median(cls, parts: "list[Part]") -> "Part":
        return cls(statistics.median(part.user for part in parts), statistics.median(part.kernel for part in parts))

    @property
    def all(self) -> float:
        return self.user + self.kernel

    def row(self, name: str) -> str:
        return f"| {name} | {self.all:,.4g} | {self.kernel:,.4g} |"


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of a core for a request, and shares of the two cores that were busy."""

    rate: float
    loop: float
    others: float
    hashing: float
    own_core: float
    other_core: float

    @classmethod
    def of(cls, load: Load, usage: Usage) -> "Cost":
        load.require_success()
        requests = load.rate * SECONDS
        times = (1e6 * seconds / requests for seconds in (usage.loop, usage.others, usage.hashing))
        return cls(load.rate, *times, *usage.busy[:2])

    @classmethod
    def median(cls, costs: "list[Cost]") -> "Cost":
        names = cls.__dataclass_fields__
        return cls(**{name: statistics.median(getattr(cost, name) for cost in costs) for name in names})

    @property
    def all(self) -> float:
        return self.loop + self.others + self.hashing

    def row(self, name: str) -> str:
        times = " | ".join(f"{time:,.4g}" for time in (self.loop, self.others, self.hashing))
        return f"| {name} | {self.rate:,.0f} | {times} | {self.own_core:.0%} | {self.other_core:.0%} |"


def main() -> None:
    arguments = _arguments()
    costs: dict[str, list[Cost]] = {}
    parts: dict[str, list[Part]] = {name: [] for name in _PARTS}
    with sqlite_bench() as sqlite, postgres_bench() as postgres:
        keys = {bench.name: prepare(bench) for bench in (sqlite, postgres)}
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", flush=True)
            for bench in (sqlite, postgres):
                for operation in _OPERATIONS[bench.name]:
                    cost = measure(bench, operation, keys[bench.name], number)
                    costs.setdefault(f"{operation.name}, {bench.name}", []).append(cost)
            costs.setdefault("a bare protocol", []).append(_measure_bare(sqlite, "protocol"))
            costs.setdefault("a bare application", []).append(_measure_bare(sqlite, "application"))
            for name, (setup, work) in _PARTS.items():
                parts[name].append(_measure_part(setup, work))
        memory = _measure_memory(sqlite)
    found = {name: Cost.median(several) for name, several in costs.items()}
    document = _document(found, {name: Part.median(several) for name, several in parts.items()}, memory)
    print(document)
    if arguments.record:
        RECORD.write_text(document)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write docs/limits.md")
    return parser.parse_args()


def prepare(bench: Bench) -> str:
    """Users, sessions and tokens; answers the Api-Key."""
    return asyncio.run(_prepare(bench))


async def _prepare(bench: Bench) -> str:
    async with generated_world(bench, users=USERS) as world:
        sessions = await world.sessions(TOKENS)
        bench.write("access", [tokens.access_token for tokens in sessions])
        bench.write("users", [f"{user.email} {PASSWORD}" for user in world.users])
        for number in range(ROUNDS):
            bench.write(f"refresh{number}", [tokens.refresh_token for tokens in await world.sessions(REFRESHES)])
            fresh = (world.issuer.issue(sessions[turn % TOKENS].grant) for turn in range(FRESH))
            bench.write(f"fresh{number}", [tokens.access_token for tokens in fresh])
        return world.api_key


def measure(bench: Bench, operation: Operation, api_key: str, number: int) -> Cost:
    with bench.start(operation.module) as service:
        url, data = f"{service.url}/v1/api/oauth{operation.path}", bench.directory / operation.data_of(number)
        if operation is not _REFRESH and operation is not _FIRST:  # each of those is there once
            run_wrk(operation.script, url, data, api_key, connections=operation.connections, seconds=1)
        with usage_of(service.pid) as usage:
            load = run_wrk(operation.script, url, data, api_key, connections=operation.connections, seconds=SECONDS)
    print(f"  {operation.name}, {bench.name}: {load.rate:,.0f}/s", flush=True)
    return Cost.of(load, usage)


def _measure_bare(bench: Bench, kind: str) -> Cost:
    with bare_server(ANSWER_BYTES, kind) as server, usage_of(server.pid) as usage:  # type: ignore[arg-type]  # two texts
        load = run_wrk("info", server.url, bench.directory / "access", "", connections=32, seconds=SECONDS)
    return Cost.of(load, usage)


def _measure_memory(bench: Bench) -> dict[str, float]:
    """Megabytes that each adds to a process, and those of a service at rest."""
    command = (sys.executable, "-c", _IMPORTS, *(modules for _, modules in _MEMORY))
    sizes = [
        int(size) * 1024 / 1e6
        for size in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    ]
    added = [after - before for before, after in pairwise([0.0, *sizes])]
    with bench.start() as service:
        names = [name for name, _ in _MEMORY]
        return dict(zip(names, added, strict=True)) | {"all of the service at rest, on SQLite": service.memory() / 1e6}


def _measure_part(setup: str, work: str) -> Part:
    """On the server's core, in a process of its own."""
    code = f"{_SETTINGS}{setup}\nmeasure(lambda: {work})"
    command = ("taskset", "-c", str(SERVER_CORE), sys.executable, "-c", code)
    return Part(*map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))


def _document(costs: Mapping[str, Cost], parts: Mapping[str, Part], memory: Mapping[str, float]) -> str:
    rows = "\n".join(cost.row(name) for name, cost in costs.items())
    sizes = "\n".join(f"| {name} | {size:.1f} |" for name, size in memory.items())
    verification, guard, signature = parts["verification"], parts["guard"], parts["signature"]
    tokens = sum(parts[name].all for name in ("body", "presented", "refresh token", "access token", "answer"))
    info, first = costs["token info, SQLite"], costs["token info, each token for the first time, SQLite"]
    bare, application = costs["a bare protocol"], costs["a bare application"]
    sqlite, postgres = costs["refresh, SQLite"], costs["refresh, PostgreSQL"]
    login, hashless = costs["login, SQLite"], costs["login without its hash, SQLite"]
    left = {name: costs[f"refresh, {name}"].loop - application.all - tokens for name in ("SQLite", "PostgreSQL")}
    return f"""# Where the time goes

Written by `make bench-parts ARGS=--record`. The service has one core; `wrk` and PostgreSQL have the other. Microseconds
are those of a core for one request, in medians of {ROUNDS} rounds; a core was busy with whatever it had to do.

{machine()}

| under full load | /s | event loop, us | other threads, us | hashing, us | service's core, busy | other core, busy |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

A bare protocol (asyncio on uvloop) answers whatever it is sent with as many bytes as a token info, and understands
nothing of it. A bare application is an ASGI function under uvicorn that does the same.

| by itself, in a loop | us | of these in the kernel |
| --- | --- | --- |
{signature.row("ES256, a signature")}
{verification.row("ES256, a verification")}
{guard.row("a guard, both credentials of a request, the token seen for the first time")}
{parts["access token"].row("an access token made, its signature among it")}
{parts["refresh token"].row("a refresh token made")}
{parts["presented"].row("a refresh token read and its MAC verified")}
{parts["body"].row("the body of a refresh read")}
{parts["answer"].row("the answer of a refresh written")}
{parts["hash"].row("Argon2id of our parameters, by libsodium")}

## Token info

Of {info.all:.1f} us, {bare.all:.1f} are what a protocol takes that does nothing: the kernel and uvloop. A bare
application takes {application.all:.1f} us, before any credential is looked at. Token info takes less than that where a
head is known, which is not parsed again and for which no task is made; the rest is the checks, the document, metrics
and turns, in Python. To do seven tenths of what a bare protocol does would leave
{bare.all / 0.7 - bare.all:.1f} us for all of them.

A token that is seen for the first time takes {first.all - info.all:.0f} us more: {verification.all:.0f} for the
signature, {guard.all - verification.all:.0f} for the claims; the others for a head that is to be parsed, and for what
is remembered and described for the next time. In a guard, which has no HTTP, the signature is
{verification.all / guard.all:.0%} of it.

## Refresh

On SQLite {sqlite.all:.0f} us: {sqlite.loop:.0f} of the event loop and {sqlite.others:.0f} of the thread that writes.
The core was {sqlite.own_core:.0%} busy. On PostgreSQL {postgres.all:.0f} us, all of the event loop; the core was
{postgres.own_core:.0%} busy, and the other, which has PostgreSQL and `wrk`, {postgres.other_core:.0%}. So processor
time is the limit on both, not the file and not the server.

Of the event loop's time, {application.all:.0f} us are those of a bare application, and {tokens:.0f} go to body, tokens
and answer, {signature.all:.0f} of them to the signature. What is left, {left["SQLite"]:.0f} us on SQLite and
{left["PostgreSQL"]:.0f} on PostgreSQL, is the order of checks, the flow, and the way to the database and back: a
future, another thread or a socket, and a task that goes on.

## Login

A hash takes {parts["hash"].all / 1000:.1f} ms by itself, {parts["hash"].kernel / 1000:.1f} of them in the kernel, to
get its 19 MiB and give them back ([huge pages](operations.md#huge-pages) make less of it); in the service it takes
{login.hashing / 1000:.1f}. All else takes {(login.loop + login.others) / 1000:.1f} ms of a login. A service that takes
each password for right and hashes none (`bench/without_hash.py`) needs {hashless.all / 1000:.1f} ms for that, at
{hashless.rate:,.0f} logins a second, of which several share a commit. What it takes more beside hashes is a commit for
each, the share of what the service does in the background, and caches that hashes of 19 MiB have emptied.

## Memory

| added by importing, in this order | MB |
| --- | --- |
{sizes}

What typer and structlog import depends on what else is installed: pydantic, attrs, rich.
"""


if __name__ == "__main__":
    main()
