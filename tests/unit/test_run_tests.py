"""The closing line of `make test` counts what the reports of both suites say."""

from pathlib import Path

from run_tests import count_outcomes

PYTEST = '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"/></testsuites>'
VITEST = """<testsuites name="vitest tests" tests="7" failures="1" errors="0" time="1.5">
<testsuite name="tests/a.test.ts" tests="4" failures="1" errors="0" skipped="0"/>
<testsuite name="tests/b.test.ts" tests="3" failures="0" errors="0" skipped="1"/>
</testsuites>"""


def test_a_report_of_pytest(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(PYTEST)
    assert count_outcomes(report) == {"passed": 4, "failed": 3, "skipped": 3}


def test_a_report_of_vitest_has_a_suite_a_file(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(VITEST)
    assert count_outcomes(report) == {"passed": 5, "failed": 1, "skipped": 1}


def test_a_suite_that_ended_without_a_report_counts_nothing(tmp_path: Path) -> None:
    assert count_outcomes(tmp_path / "report.xml") == {}
