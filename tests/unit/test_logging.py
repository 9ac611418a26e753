"""Logs: one JSON object a line, from whomever it comes, and no credential in it wherever it stands."""

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, make_api_key
from keybearer.server.adapters.logging import HIDDEN, configure_logging, redact

PUBLISHABLE = make_api_key(ApiKeyKind.PUBLISHABLE, b"\x17" * RANDOM_BYTES)
SECRET = make_api_key(ApiKeyKind.SECRET, b"\x99" * RANDOM_BYTES)
REFRESH = "kbr_AQAAAAEBmR2Q7n5xvJqL_3-NKqTg2wAAAAAAAAABAZkdkOkAAbGk"
ACCESS = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIwMTk4In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
DATABASE_PASSWORD = "geheim-9471"
URL = f"postgresql://keybearer:{DATABASE_PASSWORD}@db.example.com/keybearer"
CREDENTIALS = (PUBLISHABLE, SECRET, REFRESH, ACCESS, DATABASE_PASSWORD)
ALL = f"{PUBLISHABLE} {SECRET},{REFRESH};{ACCESS} {URL}"


Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give logging back as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Log:
    """What stands on standard error; every look at it also looks for credentials."""

    def __init__(self, capsys: Capsys) -> None:
        self._capsys = capsys

    def text(self) -> str:
        captured = self._capsys.readouterr()
        assert captured.out == "", "standard output is for programs"
        for credential in CREDENTIALS:
            assert credential not in captured.err
            assert credential[-12:] not in captured.err, "not a part of it either"
        return captured.err

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def line(self) -> dict[str, Any]:
        [line] = self.lines()
        return line


def start(capsys: Capsys) -> Log:
    """Log from here on. Not a fixture: standard error is another one while a test is set up."""
    configure_logging("json", "info")
    return Log(capsys)


def test_a_line_is_one_json_object(capsys: Capsys) -> None:
    log = start(capsys)
    structlog.get_logger("keybearer.test").info("two\nlines", count=3, name_of="Zoë", nothing=None, flag=True)
    line = log.line()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "two\nlines",
        "level": "info",
        "logger": "keybearer.test",
        "count": 3,
        "name_of": "Zoë",
        "nothing": None,
        "flag": True,
    }


@pytest.mark.parametrize("form", ["json", "console"])
def test_credentials_in_messages_are_cut_to_their_kind(form: str, capsys: Capsys) -> None:
    configure_logging(form, "info")
    structlog.get_logger("keybearer.test").warning(ALL)
    text = Log(capsys).text()
    for kind in ("kbp_", "kbs_", "kbr_", "eyJ", "postgresql://keybearer:"):
        assert kind + HIDDEN in text
    assert "@db.example.com/keybearer" in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_credentials_in_values_are_hidden_however_deep(form: str, capsys: Capsys) -> None:
    configure_logging(form, "info")
    nested: Any = ALL
    for _ in range(20):
        nested = [{"inner": (nested,)}]
    structlog.get_logger("keybearer.test").info("values", one=ALL, some=[ALL, {ALL: {ALL}}], deep=nested, odd=Odd())
    assert Log(capsys).text().count(HIDDEN) >= 15


class Odd:
    def __repr__(self) -> str:
        return f"Odd({ALL})"


@pytest.mark.parametrize(
    "name",
    [
        "password", "new_password", "Authorization", "api_key", "Api-Key", "apiKey", "key", "secret",
        "client_secret", "accessToken", "refresh_token", "token", "Cookie", "Set-Cookie", "Idempotency-Key",
        "key_encryption_key",
    ],
)  # fmt: skip
def test_values_with_the_name_of_a_secret_are_hidden(capsys: Capsys, name: str) -> None:
    log = start(capsys)
    structlog.get_logger("keybearer.test").info("x", headers={name: "hunter2 hunter2"}, **{name: "hunter2 hunter2"})
    line = log.line()
    assert "hunter2" not in str(line)
    assert line[name] == line["headers"][name] == HIDDEN


@pytest.mark.parametrize("name", ["key_id", "keys", "token_type", "monkey", "application_id", "kid", "code"])
def test_values_with_other_names_are_shown(capsys: Capsys, name: str) -> None:
    log = start(capsys)
    structlog.get_logger("keybearer.test").info("x", **{name: "shown"})
    assert log.line()[name] == "shown"


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_show_no_credential_and_no_variable(form: str, capsys: Capsys) -> None:
    configure_logging(form, "info")
    password_of_a_user = "hunter2 hunter2"
    try:
        try:
            raise ValueError(ALL)
        except ValueError as error:
            raise RuntimeError(f"because of {ALL}") from error
    except RuntimeError:
        structlog.get_logger("keybearer.test").exception("failed")
    text = Log(capsys).text()
    assert "RuntimeError" in text and "ValueError" in text and "Traceback" in text
    assert password_of_a_user not in text.replace('password_of_a_user = "', "")


def test_other_loggers_end_in_the_same_place(capsys: Capsys) -> None:
    log = start(capsys)
    logging.getLogger("uvicorn.error").info("listening with %s", ALL)
    logging.getLogger("asyncpg").error("failed", exc_info=RuntimeError(ALL), extra={"url": URL})
    first, second = log.lines()
    assert first["logger"] == "uvicorn.error" and first["event"].startswith("listening with kbp_[hidden]")
    assert second["level"] == "error" and "RuntimeError" in second["exception"]


def test_a_line_of_another_logger_that_cannot_be_formatted_tells_nothing(capsys: Capsys) -> None:
    log = start(capsys)
    logging.getLogger("other").info("%d", ALL)
    assert "a line of other could not be logged: TypeError" in log.text()


def test_warnings_of_python_are_logged(capsys: Capsys) -> None:
    log = start(capsys)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"do not {ALL}", stacklevel=1)
    assert log.line()["logger"] == "py.warnings"


def test_access_logs_of_uvicorn_are_not_written(capsys: Capsys) -> None:
    log = start(capsys)
    logging.getLogger("uvicorn.access").info("GET /?token=x")
    assert log.text() == ""


def test_levels(capsys: Capsys) -> None:
    configure_logging("json", "warning")
    for logger in (structlog.get_logger("keybearer.test"), logging.getLogger("other")):
        logger.info("not said")
        logger.warning("said")
    assert [line["event"] for line in Log(capsys).lines()] == ["said", "said"]


def test_without_a_terminal_lines_are_json(capsys: Capsys) -> None:
    configure_logging(None, "info")
    logging.getLogger("other").info("x")
    assert Log(capsys).line()["event"] == "x"


@pytest.mark.parametrize(
    "text", ["kbp_3ynH", "the key kbs_ab12", "eyJ is how they begin", "https://auth.example.com:8100/a@b", "1.2.3"]
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert redact(text) == text
