"""Runs the Python tests, then the JavaScript tests, and closes with one line that counts both (`make test`)."""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent

SUITES = {
    "test-python": "--junitxml={report}",
    "test-js": "--reporter=default --reporter=junit --outputFile.junit={report}",
}
"""The target of each suite, and the arguments with which it writes a report in JUnit's form."""


def run_suite(target: str, arguments: str) -> int:
    """Run one suite, its output passed through; its exit status."""
    command = ["make", "--no-print-directory", target, f"ARGS={arguments}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def count_outcomes(report: Path) -> Counter[str]:
    """How many tests passed, failed and were skipped. A suite that ended without a report has none of them."""
    counts: Counter[str] = Counter()
    if report.exists():
        for suite in ET.parse(report).iter("testsuite"):  # noqa: S314 - it was written here
            tests, failures, errors, skipped = (
                int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")
            )
            counts.update(passed=tests - failures - errors - skipped, failed=failures + errors, skipped=skipped)
    return counts


def main() -> None:
    counts: Counter[str] = Counter()
    failed = []
    with tempfile.TemporaryDirectory(prefix="keybearer-reports-") as folder:
        for target, arguments in SUITES.items():
            report = Path(folder, f"{target}.xml")
            if run_suite(target, arguments.format(report=report)) != 0:
                failed.append(target)
            counts += count_outcomes(report)
    for target in failed:
        print(f"test: FAILED: make {target}")
    print(f"test: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
