"""One contender's turn: the three kinds of work, memory, and what its hash costs by itself."""

import subprocess
from dataclasses import dataclass, field
from statistics import median

from bench.load import Load, run_wrk
from bench.peers.contender import CHECK, LOGIN, REFRESH, Contender, Hash, Service, Work
from bench.peers.proof import prove
from bench.service import SERVER_CORE

MEMORY = "memory"
"""Megabytes."""

RAW_HASHES = "raw hashes"
LOGIN_TO_HASH = "login to raw hash"

_SCRIPTS = {CHECK: "in_turn", REFRESH: "once", LOGIN: "in_turn"}
_CONNECTIONS = {CHECK: 32, REFRESH: 32, LOGIN: 8}
_WARMING_SECONDS = 1

LOGINS_LONGER = 4
"""The time of a load of logins, to that of another."""


@dataclass(slots=True)
class Result:
    """What a contender came to: figures by name, a value a round."""

    contender: Contender
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.rounds.setdefault(name, []).append(value)

    def value(self, name: str) -> float | None:
        """The median; None where the contender has no such figure."""
        return median(self.rounds[name]) if name in self.rounds else None


def p50(work: Work) -> str:
    """The name of the figure, in milliseconds."""
    return f"{work}, p50"


def p99(work: Work) -> str:
    """The name of the figure, in milliseconds."""
    return f"{work}, p99"


def measure(result: Result, turn: int, seconds: int) -> None:
    """Add one round to the contender's figures. Logins take longer, for they are few."""
    contender = result.contender
    before = _raw_hashes(contender.hash, seconds) if contender.hash else 0
    with contender.start(turn) as service:
        prove(contender, service, turn)
        _load(contender, service, CHECK, turn, _WARMING_SECONDS)
        for work in contender.forms:
            load = _load(contender, service, work, turn, LOGINS_LONGER * seconds if work == LOGIN else seconds)
            result.add(work, load.rate)
            result.add(p50(work), load.p50)
            result.add(p99(work), load.p99)
            print(f"  {contender.name}, {work}: {load.rate:,.4g} /s, p99 {load.p99:,.3g} ms", flush=True)
        result.add(MEMORY, service.memory() / 1e6)
    if contender.hash:
        raw = (before + _raw_hashes(contender.hash, seconds)) / 2
        result.add(RAW_HASHES, raw)
        result.add(LOGIN_TO_HASH, result.rounds[LOGIN][-1] / raw)


def _load(contender: Contender, service: Service, work: Work, turn: int, seconds: int) -> Load:
    lines = contender.lines(work, turn)
    if work == REFRESH:
        lines.pop()  # was for the proof
    requests = contender.directory / "requests"
    requests.write_text("".join(f"{contender.forms[work](line).line}\n" for line in lines))
    connections = _CONNECTIONS[work]
    load = run_wrk(_SCRIPTS[work], service.url, requests, "", connections=connections, seconds=seconds)
    if load.errors or not load.rate:
        raise RuntimeError(f"{contender.name}, {work}: {load.errors} requests failed: this run measures nothing")
    # As soon as the last sessions are given out connections are idle, and the rate is too low.
    if work == REFRESH and load.rate * seconds > len(lines) - connections:
        raise RuntimeError(f"{contender.name}: {len(lines)} sessions were too few: this run measures nothing")
    return load


def _raw_hashes(scheme: Hash, seconds: int) -> float:
    """Hashes a second on the server's core, one after the other."""
    command = ("taskset", "-c", str(SERVER_CORE), *scheme.command(seconds))
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
