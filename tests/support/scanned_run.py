"""A plugin of pytest (`make test-secrets`): the whole test run, looked through for credentials.

Each test process notes the tokens and keys that the service issues in it, and looks for them in whatever the tests
throw away: databases of SQLite before a test's are removed, the server of PostgreSQL before it is closed, and what was
written during each test. What processes of their own issue is looked for by the tests of faults (`leavings.py`).
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any

import pytest

from keybearer.credentials import api_key
from keybearer.server.flows import administration, issue
from tests.support.databases import SqliteDatabases
from tests.support.postgres import TemporaryServer
from tests.support.secret_scan import Credential, Finding, Kind, Scanner, scan_files

FEW = 4
"""Different bytes: a key that a test makes of no more is a number or one byte repeated, and stands in any file."""


class ScannedRun:
    """`issued` are all credentials of this process, `recent` those since the last test's databases were removed."""

    def __init__(self) -> None:
        self.issued: set[Credential] = set()
        self.recent: set[Credential] = set()

    def note(self, kind: Kind, make: Callable[..., str]) -> Callable[..., str]:
        """The same function, whose results are noted."""

        def noted(*args: Any, **kwargs: Any) -> str:
            text = make(*args, **kwargs)
            credential = Credential(kind, text)
            if len(set(credential.raw or b"")) > FEW:
                self.issued.add(credential)
                self.recent.add(credential)
            return text

        return noted

    def scan_texts(self, texts: Iterable[tuple[str, str]]) -> list[Finding]:
        """What a test has written; by the credentials of late."""
        scanner = Scanner(self.recent)
        return [finding for name, text in texts for finding in scanner.scan(name, text.encode())]

    def scan_before_release(self, release: Callable[[SqliteDatabases], None]) -> Callable[[SqliteDatabases], None]:
        def scanned(databases: SqliteDatabases) -> None:
            report = scan_files(databases._made, self.recent)
            release(databases)
            self.recent.clear()
            require_none(report.findings)

        return scanned

    def scan_before_close(self, close: Callable[[TemporaryServer], None]) -> Callable[[TemporaryServer], None]:
        def scanned(server: TemporaryServer) -> None:
            server.stop()
            report = scan_files([server.directory], self.issued)
            close(server)
            require_none(report.findings)

        return scanned

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        findings = self.scan_texts(report.sections)
        if findings and report.passed:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: {_told(findings)}"
        return report


def require_none(findings: Iterable[Finding]) -> None:
    assert not list(findings), _told(findings)


def _told(findings: Iterable[Finding]) -> str:
    return "credentials were left behind:\n" + "\n".join(map(str, findings))


def pytest_configure(config: pytest.Config) -> None:
    run = ScannedRun()
    config.pluginmanager.register(run, "scanned run")
    patched: Any = issue
    patched.make_refresh_token = run.note("refresh token", patched.make_refresh_token)
    patched.issue_access_token = run.note("access token", patched.issue_access_token)
    make_api_key = run.note("api key", api_key.make_api_key)
    for patched in (api_key, administration):  # tests import it later, from the first of them
        patched.make_api_key = make_api_key
    patched = SqliteDatabases
    patched.release = run.scan_before_release(SqliteDatabases.release)
    patched = TemporaryServer
    patched.close = run.scan_before_close(TemporaryServer.close)
