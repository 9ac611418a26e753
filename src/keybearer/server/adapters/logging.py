"""Structured logs, as JSON or for the console, in which no credential can stand.

Everything that is logged, by us and by libraries, goes through `structlog` and ends in `redact`: whatever looks
like one
of our tokens or keys is cut to its kind, wherever it stands. Tracebacks are plain, without the values of variables.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_CREDENTIAL = re.compile(r"\b(kb[prs]_)[A-Za-z0-9_-]{8,}|\b(eyJ)[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_SECRET_NAMES = frozenset(
    {"password", "authorization", "api_key", "access_token", "refresh_token", "token", "secret", "key", "cookie"}
)
_HIDDEN = "[hidden]"


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide credentials in every value of an event, tracebacks and nested values included."""
    return {name: _HIDDEN if name in _SECRET_NAMES else _clean(value) for name, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _CREDENTIAL.sub(lambda match: (match[1] or match[2]) + _HIDDEN, value)
    if isinstance(value, Mapping):
        return {name: _HIDDEN if name in _SECRET_NAMES else _clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    return _clean(str(value))


def configure_logging(log_format: str | None, level: str) -> None:
    """Send all logs to standard error. `log_format` is `json` or `console`; None decides by what standard error is."""
    console = log_format == "console" if log_format is not None else sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(shared, console=console))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True


def _formatter(shared: list[Processor], *, console: bool) -> logging.Formatter:
    renderer: Processor = structlog.processors.JSONRenderer()
    if console:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
