"""`make floods`: one flood after another, larger than in the tests, and the figures in docs/reliability.md."""

import argparse
import asyncio
import math
import os
from collections.abc import Sequence
from pathlib import Path

from keybearer.server.adapters.scheduling import wake_at_once
from tests.faults.flooded import SETTINGS, Figures, Flooded, allow_connections
from tests.faults.ground import Backend, prepared
from tests.faults.report import NAMES, table, where, write_section
from tests.faults.scene import opened

MILLION = 1_000_000

MILLIONS = {"keys": MILLION, "access tokens": MILLION // 2, "refresh tokens": MILLION // 2, "usernames": MILLION}
"""Requests, on a few connections."""
SIZES = {"slow clients": 6_000, "large bodies": 100, "logins": 10_000}
"""Connections."""
KINDS = (*MILLIONS, *SIZES)

REST = 20.0
"""Seconds in which the service is measured in peace."""

BACKENDS: tuple[Backend, ...] = ("sqlite", "postgresql")


def say(line: str) -> None:
    print(f"floods: {line}", flush=True)  # noqa: T201 - a command prints


async def measure(backend: Backend, kinds: Sequence[str], scale: float, hash_threads: int) -> list[Figures]:
    found = []
    settings = SETTINGS | {"KEYBEARER_HASH_THREADS": str(hash_threads)}
    with prepared(backend, replicas=1, settings=settings) as ground:
        async with opened(ground) as scene:
            wake_at_once()  # who uses a service does not wait for its hashes' slices himself: he is elsewhere
            flooded = await Flooded.of(scene, rest=REST)
            for kind in kinds:
                found.append(
                    await flooded.flood(kind, round(MILLIONS[kind] * scale) if kind in MILLIONS else SIZES[kind])
                )
                say(f"{NAMES[backend]}: {' | '.join(row(found[-1]))}")
    return found


HEAD = (
    "s",
    "answered",
    "memory, MB",
    "used meanwhile, not answered right",
    "refresh p99, ms",
    "token info p99, ms",
    "login p99, ms",
    "back to normal, s",
    "rows of the limiter",
)


def row(figures: Figures) -> list[str]:
    answers = ", ".join(f"{status}: {count:,}" for status, count in sorted(figures.answers.items()))
    return [
        f"{figures.size:,} {figures.kind}",
        f"{figures.seconds:.0f}",
        answers,
        f"{figures.memory_before >> 20} to {figures.memory_peak >> 20}",
        f"{figures.asked:,}, {figures.wrong:,}",
        *(f"{_milliseconds(figures.idle[kind])} / {_milliseconds(figures.during[kind])}" for kind in figures.idle),
        f"{figures.recovery:.1f}",
        f"{figures.attempts:,}",
    ]


def _milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds * 1000:.1f}"


def section(found: dict[Backend, list[Figures]]) -> str:
    tables = [
        table(NAMES[backend], HEAD, [(first, rest) for first, *rest in map(row, figures)])
        for backend, figures in found.items()
    ]
    return "\n".join([f"{where()}. A delay is given in peace / in the flood.\n", *tables])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.measure_floods", description=__doc__)
    parser.add_argument("--backend", choices=(*BACKENDS, "both"), default="both")
    parser.add_argument("--kind", choices=KINDS, action="append", help="Some of the floods only.")
    parser.add_argument("--scale", type=float, default=1, help="0.1: a tenth of the millions.")
    processors = len(os.sched_getaffinity(0))
    parser.add_argument("--hash-threads", type=int, default=processors, help="KEYBEARER_HASH_THREADS (all processors).")
    parser.add_argument("--report", type=Path, metavar="FILE", help="The page whose marked section is written anew.")
    arguments = parser.parse_args()
    allow_connections()
    backends = BACKENDS if arguments.backend == "both" else (arguments.backend,)
    kinds = arguments.kind or KINDS
    found = {
        backend: asyncio.run(measure(backend, kinds, arguments.scale, arguments.hash_threads)) for backend in backends
    }
    if arguments.report is not None:
        write_section(arguments.report, "make floods", section(found))


if __name__ == "__main__":
    main()
