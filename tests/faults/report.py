"""What a run of `make faults` leaves: a JSON file, and the marked section of docs/reliability.md."""

import json
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from tests.faults.checker import TARGETS
from tests.faults.ground import Backend
from tests.faults.trial import Result

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_TOLD = {
    "lost": "sessions lost: a 401 to a client that nobody had revoked",
    "branches": "branches: two successors of one token",
    "alive": "answers in a session after its revocation was answered 200",
    "unfit": "histories that fit no order of the state machine",
    "unexpected": "answers that no fault explains",
}


@dataclass(frozen=True, slots=True)
class Total:
    """All runs on one backend together."""

    backend: Backend
    results: Sequence[Result]

    @property
    def faults(self) -> Counter[str]:
        return sum((Counter(result.faults) for result in self.results), Counter())

    def sum(self, name: str) -> int:
        """Of a figure of the verdicts."""
        return sum(getattr(result.verdict, name) for result in self.results)

    def count(self, target: str) -> int:
        return sum(result.verdict.count(target) for result in self.results)


def failures(result: Result) -> list[str]:
    """Whatever misses a target, in words; none when all were met."""
    found = [f"{v.target}: session {v.session}: {v.what}" for v in result.verdict.violations]
    found += [f"missing afterwards: {what}" for what in result.missing]
    found += [f"credential found: {finding}" for finding in result.secrets.findings]
    if result.undecided:
        found.append(f"{result.undecided} processes of clients could not decide their last refresh")
    return found


def write_json(results: Sequence[Result], path: Path) -> None:
    path.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> list[Result]:
    return msgspec.json.decode(path.read_bytes(), type=list[Result])


def write_section(page: Path, command: str, text: str) -> None:
    """Replace what stands between the marks of a command."""
    begin, end = (f"<!-- written by {command}: {mark} -->" for mark in ("begin", "end"))
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise SystemExit(f"{page} has no section between '{begin}' and '{end}'.")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def where() -> str:
    """What it ran on."""
    return f"CPython {platform.python_version()}, {platform.system()} {platform.release()}"


def section(results: Sequence[Result]) -> str:
    """The figures of all runs, one column for each backend."""
    backends = dict.fromkeys(result.backend for result in results)
    totals = [Total(backend, [result for result in results if result.backend == backend]) for backend in backends]
    faults = sorted({fault for total in totals for fault in total.faults})
    figures = [
        ("minutes under faults", [f"{sum(r.seconds for r in total.results) / 60:.0f}" for total in totals]),
        ("sessions", [f"{total.sum('sessions'):,}" for total in totals]),
        ("refreshes answered", [f"{total.sum('refreshes'):,}" for total in totals]),
        ("moves of a chain", [f"{total.sum('moves'):,}" for total in totals]),
        ("questions without an answer", [f"{total.sum('unanswered'):,}" for total in totals]),
        ("sessions revoked, answered 200", [f"{total.sum('revoked'):,}" for total in totals]),
    ]
    injected = [(fault, [f"{total.faults[fault]:,}" for total in totals]) for fault in faults]
    missed = [(_TOLD[target], [f"{total.count(target):,}" for total in totals]) for target in TARGETS]
    missed += [
        ("users, keys missing afterwards", [f"{sum(len(r.missing) for r in total.results)}" for total in totals]),
        (
            "credentials handed out, and looked for afterwards",
            [f"{sum(r.secrets.credentials for r in total.results):,}" for total in totals],
        ),
        (
            "MB of databases, dumps, logs and metrics that were looked through",
            [f"{sum(r.secrets.scanned for r in total.results) / 1e6:,.0f}" for total in totals],
        ),
        ("credentials found there", [f"{sum(len(r.secrets.findings) for r in total.results)}" for total in totals]),
        (
            "longest that an access token held at another replica after its revocation, ms",
            [f"{max(r.verdict.latest_yes for r in total.results):,}" for total in totals],
        ),
    ]
    head = [NAMES[total.backend] for total in totals]
    tables = (table("done", head, figures), table("injected", head, injected), table("found", head, missed))
    return "\n".join([f"{where()}. Seeds: {', '.join(dict.fromkeys(r.seed for r in results))}.\n", *tables])


def table(name: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    lines = [f"| {name} | {' | '.join(head)} |", f"| --- |{' ---: |' * len(head)}"]
    return "\n".join([*lines, *(f"| {what} | {' | '.join(values)} |" for what, values in rows)]) + "\n"
