"""Says at the end of a run how many tests ran on which database: a backend that was left out would be seen."""

from collections import Counter

import pytest
from _pytest.terminal import TerminalReporter

_BACKEND = "backend"
_VERSION = "backend_version"
"""The properties by which a report tells its database, across processes too."""

_OUTCOMES = ("passed", "failed", "error", "skipped")


def note_backend(item: pytest.Item, backend: str, version: str = "") -> None:
    """Count this test for a database."""
    item.user_properties.append((_BACKEND, backend))
    if version:
        item.user_properties.append((_VERSION, version))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    counts: dict[str, Counter[str]] = {}
    versions: dict[str, str] = {}
    for outcome in _OUTCOMES:
        for report in terminalreporter.stats.get(outcome, ()):
            properties = dict(getattr(report, "user_properties", ()))
            backend = str(properties.get(_BACKEND, ""))
            if backend:
                counts.setdefault(backend, Counter())[outcome] += 1
                versions[backend] = str(properties.get(_VERSION, versions.get(backend, "")))
    if counts:
        terminalreporter.section("databases")
        described = [f"{_named(name, versions[name])}: {_described(counts[name])}" for name in sorted(counts)]
        terminalreporter.write_line(", ".join(described))


def _named(backend: str, version: str) -> str:
    return f"{backend} ({version})" if version else backend


def _described(counter: "Counter[str]") -> str:
    return " ".join(f"{counter[outcome]} {outcome}" for outcome in _OUTCOMES if counter[outcome])
