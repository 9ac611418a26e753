"""The tables, the page and the picture."""

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.peers.contender import CHECK, LOGIN, REFRESH
from bench.peers.contenders import TOKENS
from bench.peers.measure import LOGIN_TO_HASH, LOGINS_LONGER, MEMORY, RAW_HASHES, Result, p50, p99
from bench.peers.picture import draw
from bench.peers.process import PEERS

_DOCS = PEERS.parent.parent / "docs"
_COLUMNS = {
    CHECK: "token check, /s",
    p50(CHECK): "p50, ms",
    p99(CHECK): "p99, ms",
    REFRESH: "refresh, /s",
    p50(REFRESH): "p50, ms",
    p99(REFRESH): "p99, ms",
    LOGIN: "login, /s",
    p50(LOGIN): "p50, ms",
    p99(LOGIN): "p99, ms",
    RAW_HASHES: "raw hashes, /s",
    LOGIN_TO_HASH: "login to hash",
    MEMORY: "memory, MB",
}
_PACKAGES = {
    "django": (
        "django",
        "djangorestframework",
        "djangorestframework-simplejwt",
        "django-oauth-toolkit",
        "psycopg",
        "gunicorn",
    ),
    "fastapi_users": ("fastapi-users", "fastapi", "sqlalchemy", "aiosqlite", "uvicorn"),
}


def table(results: list[Result]) -> str:
    rows = [_row(one.contender.name, [_number(one.value(name)) for name in _COLUMNS]) for one in results]
    return _table(["", *_COLUMNS.values()], rows)


def ratios(results: list[Result]) -> str:
    """Keybearer's rates to those of each peer, and first to the best of them."""
    ours = [one for one in results if one.contender.ours]
    peers = [one for one in results if not one.contender.ours]
    figures = [(work, one) for work in (CHECK, REFRESH) for one in ours]
    best = [_ratio(one.value(work), max(peer.value(work) or 0 for peer in peers)) for work, one in figures]
    rows = [_row("the best peer", [f"**{ratio}**" for ratio in best])]
    for peer in peers:
        rows.append(_row(peer.contender.name, [_ratio(one.value(work), peer.value(work)) for work, one in figures]))
    return _table(["", *(f"{work}, {one.contender.name}" for work, one in figures)], rows)


def _table(head: list[str], rows: list[str]) -> str:
    return "\n".join([_row(head[0], head[1:]), _row("---", ["---"] * (len(head) - 1)), *rows])


def _row(name: str, cells: list[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(ours: float | None, theirs: float | None) -> str:
    return f"{ours / theirs:.1f} x" if ours and theirs else ""


def write(results: list[Result], rounds: int, seconds: int) -> None:
    """docs/peers-compared.md and its picture."""
    (_DOCS / "peers-compared.md").write_text(_document(results, rounds, seconds))
    (_DOCS / "images" / "peers-compared.svg").write_text(draw(results))


def _document(results: list[Result], rounds: int, seconds: int) -> str:
    set_up = "\n".join(_row(one.contender.name, [one.contender.set_up, _scheme(one)]) for one in results)
    return f"""# Keybearer beside other services

Written by `make bench-peers ARGS=--record` on {datetime.now(UTC).date()}: {_versions()}.

![Requests a second of each at the two kinds of work; the figures stand in the table.](images/peers-compared.svg)

{table(results)}

Keybearer's rates to those of

{ratios(results)}

## What was measured

Each is a real server with one worker, pinned to one core; `wrk` (one thread) and PostgreSQL have the other. Every
figure is the median of {rounds} rounds of {seconds} s, {LOGINS_LONGER} times as long for logins, in which all take
turns. An answer other than 2xx ends the run, and so does a server that takes any token for good.

- *token check*: {TOKENS:,} distinct tokens in turn, 32 connections.
- *refresh*: each of another session, made before by the service's own code; the token that was presented is over
  afterwards. 32 connections.
- *login*: 100 users in turn (of Keybearer 1,000), 8 connections. *raw hashes* is what the same hash
  gives on the same core, in a loop without any service, before and after. Costs of hashes differ, so that logins are
  compared with these only.
- *memory* is resident, of the process that answers, after the load.

PostgreSQL runs with `fsync` and `synchronous_commit` on; SQLite with a write-ahead log and `synchronous = FULL`, but
for fastapi-users, which writes nothing here and has SQLite's defaults. oidc-provider keeps everything in memory: what
it answers is lost when it ends.

## How each was set up

As its documentation recommends; where that leaves a choice, the faster way (`bench/peers/`).

| | what checks and refreshes | hash |
| --- | --- | --- |
{set_up}

{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()},
{_processor()}, {os.cpu_count()} cores.
"""


def _scheme(result: Result) -> str:
    return result.contender.hash.scheme if result.contender.hash else "none: it has no passwords"


def _versions() -> str:
    found = [f"{name} {_pin(peer, name)}" for peer, names in _PACKAGES.items() for name in names]
    for peer in ("oidc_provider", "better_auth"):
        package = json.loads((PEERS / peer / "package.json").read_text())
        found += [f"{name} {version}" for name, version in package["dependencies"].items()]
    node = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True).stdout.strip()
    return ", ".join([*found, f"Node {node.removeprefix('v')}"])


def _pin(peer: str, package: str) -> str:
    pins = (PEERS / peer / "requirements.txt").read_text()
    found = re.search(rf"^{re.escape(package)}==(\S+)", pins, re.MULTILINE)
    if found is None:
        raise LookupError(f"{peer} has no {package}")
    return found[1]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(": ")[1] for line in lines if "model name" in line)
