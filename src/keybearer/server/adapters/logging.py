"""Structured logs, as JSON or for the console, in which no credential can stand.

Everything that is logged, by us and by libraries, ends in one handler. Values whose names say that they are secret are
hidden; then, in the finished line, whatever has the form of a credential, wherever it stands: in a message, a nested
value, a traceback. Tracebacks are plain, without the values of variables.
"""

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"

_CREDENTIAL = re.compile(
    r"(?P<kind>kb[prs]_)[A-Za-z0-9_-]{5,}"  # Api-Keys and refresh tokens, but not a key's hint of 4 characters
    r"|(?P<jwt>eyJ)[A-Za-z0-9_-]*+\.[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]*)*"
    r"|(?P<url>[a-z][a-z0-9+.-]{0,20}://[^/\s:@\"']*:)[^/\s@\"']+(?=@)"  # the password in a database's URL
)
_SECRET_NAME = re.compile(
    r"(.*(password|passwd|secret|token|authorization|cookie)|(.*(api|encryption|idempotency))?key)"
)
_DEEPEST = 8


def redact(text: str) -> str:
    """The text with every credential in it cut to its kind."""
    return _CREDENTIAL.sub(lambda match: f"{match[match.lastgroup or 0]}{HIDDEN}", text)


def configure_logging(log_format: str | None, level: str) -> None:
    """Send all logs to standard error. `log_format` is `json` or `console`; None decides by what standard error is."""
    console = log_format == "console" if log_format is not None else sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.setFormatter(_Formatter(foreign_pre_chain=shared, processors=_last_steps(console=console)))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    logging.getLogger("uvicorn.access").disabled = True


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Handler(logging.StreamHandler[Any]):
    """To standard error as it is at the time, for whoever has replaced it since."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """The library's own would print the arguments of a line that cannot be formatted, credentials included."""
        error = sys.exc_info()[0]
        with suppress(OSError, ValueError):  # standard error is closed: there is nowhere left to say it
            name = error.__name__ if error is not None else "no reason"
            self.stream.write(f"a line of {record.name} could not be logged: {name}\n")


def _last_steps(*, console: bool) -> list[Processor]:
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if console:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _hide_secrets,
        renderer,
    ]


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide every value whose name says that it is secret, and make texts of what is no JSON."""
    return {name: _clean(name, value, 0) for name, value in event.items()}


def _clean(name: str, value: Any, depth: int) -> Any:
    if value is not None and _SECRET_NAME.fullmatch(name.lower().replace("-", "").replace("_", "")):
        return HIDDEN
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping() if depth < _DEEPEST:
            return {str(inner): _clean(str(inner), item, depth + 1) for inner, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [_clean("", item, depth + 1) for item in value]
        case _:
            return str(value)
