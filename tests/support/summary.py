"""Says at the end of a run how many tests ran on which database: a backend that was left out would be seen."""

from collections import Counter

import pytest
from _pytest.terminal import TerminalReporter

BACKEND = "backend"
"""The name of the property by which a report tells its database, across processes too."""

_OUTCOMES = ("passed", "failed", "error", "skipped")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    counts: dict[str, Counter[str]] = {}
    for outcome in _OUTCOMES:
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == BACKEND:
                    counts.setdefault(str(value), Counter())[outcome] += 1
    if counts:
        terminalreporter.section("databases")
        lines = [f"{backend}: {_describe(counts[backend])}" for backend in sorted(counts)]
        terminalreporter.write_line(", ".join(lines))


def _describe(counter: "Counter[str]") -> str:
    return ", ".join(f"{counter[outcome]} {outcome}" for outcome in _OUTCOMES if counter[outcome])


def note_backend(item: pytest.Item, backend: str) -> None:
    """Count this test for a database."""
    item.user_properties.append((BACKEND, backend))
