"""The checks of tools/check_rules.py find what they are for, and nothing else."""

import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

import check_rules

MODULE = "src/keybearer/server/flows/module.py"


def found(source: str, path: str = MODULE) -> list[tuple[str, str]]:
    return [(finding.rule, finding.what) for finding in check_rules.check_source(path, dedent(source))]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import time\ntime.time()", "time.time"),
        ("import time as t\nt.time_ns()", "time.time_ns"),
        ("from time import time\ntime()", "time.time"),
        ("from time import time as now\nf(clock=now)", "time.time"),
        ("import datetime\ndatetime.datetime.now()", "datetime.datetime.now"),
        ("from datetime import UTC, datetime\ndatetime.now(UTC)", "datetime.datetime.now"),
        ("from datetime import date\ndate.today()", "datetime.date.today"),
        ("import os\nos.urandom(16)", "os.urandom"),
        ("import secrets\nsecrets.token_bytes()", "secrets.token_bytes"),
        ("from secrets import token_hex\ntoken_hex()", "secrets.token_hex"),
        ("import random\nrandom.random()", "random.random"),
        ("from uuid import uuid4\nuuid4()", "uuid.uuid4"),
    ],
)
def test_clock_and_randomness_are_found(source: str, what: str) -> None:
    assert found(source) == [("clock", what)]
    assert found(source, "src/keybearer/server/adapters/clock.py") == []
    assert found(source, "tests/unit/test_something.py") == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.monotonic()",
        "import secrets\nsecrets.compare_digest(a, b)",
        "from datetime import datetime\ndatetime.fromtimestamp(at, UTC)",
        "def rows(random, now):\n    return random.bytes(16), now.time()",
        "from uuid import UUID\nUUID(int=0)",
    ],
)
def test_what_is_passed_in_or_measures_no_wall_clock_is_no_finding(source: str) -> None:
    assert found(source) == []


@pytest.mark.parametrize(
    "comparison",
    [
        "password_hash == other",
        "other != row.key_hash",
        "token == presented",
        "row['refresh_token'] == text",
        "token.mac == expected",
        "access_token[4:] == text",
        "token.encode() == data",
        "client_secret != b''",
        "first == second == row.nonce",
    ],
)
def test_comparisons_of_secrets_are_found(comparison: str) -> None:
    assert [rule for rule, _ in found(f"if {comparison}: pass")] == ["compare"]


@pytest.mark.parametrize(
    "comparison",
    [
        "token is None",
        "len(token) == 74",
        "token.place == row.place",
        "token.application_id != application_id",
        "token_type == 'Bearer'",
        "key.purpose == KeyPurpose.REFRESH_TOKEN",
        "compare_digest(mac, expected)",
        "token in remembered",
        "hash(a) == b",
    ],
)
def test_comparisons_of_other_things_are_no_finding(comparison: str) -> None:
    assert found(f"if {comparison}: pass") == []


def test_long_functions_are_found() -> None:
    body = "\n".join(f"    x{n} = {n}" for n in range(40))
    docstring = '    """\n' + "    line\n" * 30 + '    """'
    assert found(f"def short():\n{docstring}\n" + body.replace("    x39 = 39", "")) == []
    assert found(f"class A:\n  async def long():\n{body}".replace("    x", "      x")) == [("size", "A.long")]


def test_long_files_are_found() -> None:
    assert found("x = 1\n" * 400) == []
    assert found("x = 1\n" * 401) == [("size", "file")]
    assert found("x = 1\n" * 401, "tools/long.py") == [("size", "file")]


def test_many_parameters_are_found() -> None:
    assert found("class A:\n    def six(self, a, b, c, d, *, e, f): ...") == []
    assert found("def seven(a, b, c, d, *, e, f, g): ...") == [("size", "seven")]


def test_a_file_that_does_not_parse_is_a_finding() -> None:
    assert found("def f(:") == [("syntax", "file")]


@pytest.mark.parametrize("host", ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org"])
def test_registries_are_found(host: str) -> None:
    lines = f"first\n--find-links https://{host}/simple\n"
    assert [(finding.rule, finding.line) for finding in check_rules.find_registries("a.txt", lines)] == [
        ("registry", 2)
    ]


def test_an_index_option_is_found() -> None:
    assert list(check_rules.find_registries("a.txt", "--extra-index" + "-url x"))
    assert not list(check_rules.find_registries("a.txt", "uv pip compile --no-emit-index-url"))


def test_an_exception_covers_its_finding_only_and_must_be_needed() -> None:
    findings = [check_rules.Finding("size", "a.py", 1, name, "is long") for name in ("f", "g")]
    exceptions = {("size", "a.py", "f"): "a reason", ("size", "b.py", "f"): "a reason"}
    lines = check_rules.judge(findings, exceptions)
    assert lines == ["a.py:1: size: 'g' is long", "b.py: size: the exception for 'f' is not needed"]


def test_every_exception_has_a_reason() -> None:
    assert all(len(reason) > 10 for reason in check_rules.EXCEPTIONS.values())


def test_a_repository_is_checked_file_by_file(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for path, text in {
        "src/a.py": "import os\nos.urandom(1)\n",
        "ignored.txt": "https://pypi" + ".org",
        "notes.txt": "https://pypi" + ".org",
        ".gitignore": "ignored.txt\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    assert [(finding.path, finding.rule) for finding in check_rules.check_tree(tmp_path)] == [
        ("notes.txt", "registry"),
        ("src/a.py", "clock"),
    ]
