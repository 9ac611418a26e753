"""`make faults`: the service under faults, for as long as is wanted, and the record of it in docs/reliability.md."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.ground import Backend
from tests.faults.report import failures, read_json, section, write_json, write_section
from tests.faults.trial import Plan, Progress, Result, run_trial

LONGEST_RUN = 300.0
"""Seconds of faults on one database; then the next run begins on a fresh one, on the other backend."""

BACKENDS: dict[str, tuple[Backend, ...]] = {
    "sqlite": ("sqlite",),
    "postgres": ("postgresql",),
    "both": ("sqlite", "postgresql"),
}


def show(progress: Progress) -> None:
    say(
        f"{progress.backend}, {progress.left:.0f} s left: {progress.refreshes} refreshes, {progress.kills} kills, "
        f"{progress.drops} drops, {progress.lost} lost, {progress.branches} branches"
    )


def say(line: str) -> None:
    print(f"faults: {line}", flush=True)  # noqa: T201 - a command prints


def make_plans(backends: tuple[Backend, ...], seconds: float, seed: str, keep: Path | None) -> list[Plan]:
    """Runs on the backends in turn, as long as the seconds together."""
    rounds = max(1, round(seconds / len(backends) / LONGEST_RUN))
    share = seconds / len(backends) / rounds
    return [
        Plan(backend, f"{seed}-{number}", share, keep=keep / f"{backend}-{number}" if keep is not None else None)
        for number in range(rounds)
        for backend in backends
    ]


async def run_all(lanes: Sequence[Sequence[Plan]], record: Callable[[Sequence[Result]], None]) -> list[Result]:
    """The runs of a lane one after another, the lanes at the same time. Each run is recorded when it is over: what ends
    a later one takes nothing of it away."""
    _end_on_sigterm()
    results: list[Result] = []

    async def run(plans: Sequence[Plan]) -> None:
        for plan in plans:
            result = await run_trial(plan, show)
            for line in failures(result):
                say(f"MISSED: {plan.backend}: {line}")
            results.append(result)
            record(results)

    async with asyncio.TaskGroup() as group:
        for plans in lanes:
            group.create_task(run(plans))
    return results


def _end_on_sigterm() -> None:
    """As on SIGINT: what was started is stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="In all, on all backends together.")
    parser.add_argument("--backend", choices=BACKENDS, default="both")
    parser.add_argument("--together", action="store_true", help="Both backends at once: half the time, more load.")
    parser.add_argument("--seed", default="", help="Chooses the faults; the clock without it.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Where the results are written.")
    parser.add_argument("--add", action="store_true", help="To the results that the file of --json has already.")
    parser.add_argument("--report", type=Path, metavar="FILE", help="The page whose marked section is written anew.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="Where histories and logs stay.")
    arguments = parser.parse_args()
    seed = arguments.seed or str(time.time_ns())
    backends = BACKENDS[arguments.backend]
    plans = make_plans(backends, arguments.minutes * 60, seed, arguments.keep)
    lanes = [[plan for plan in plans if plan.backend == backend] for backend in backends]
    earlier = read_json(arguments.json) if arguments.add else []

    def record(results: Sequence[Result]) -> None:
        results = sorted([*earlier, *results], key=lambda result: result.backend, reverse=True)
        if arguments.json is not None:
            write_json(results, arguments.json)
        if arguments.report is not None:
            write_section(arguments.report, "make faults", section(results))

    results = asyncio.run(run_all(lanes if arguments.together else [plans], record))
    met = not any(failures(result) for result in results)
    say(f"{sum(result.verdict.refreshes for result in results)} refreshes; {'all targets met' if met else 'MISSED'}")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
