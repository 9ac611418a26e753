"""The `keybearer` command: the client's commands, and the service's where its libraries are there. Names the extra that
is missing."""

import sys
from collections.abc import Callable

CLIENT_LIBRARIES = frozenset({"httpx2", "rich", "typer"})
"""What the extra `cli` brings."""

LIBRARIES = CLIENT_LIBRARIES | {
    "alembic",
    "argon2",
    "asyncpg",
    "bcrypt",
    "httptools",
    "prometheus_client",
    "sqlalchemy",
    "structlog",
    "uvicorn",
    "uvloop",
}
"""What the extra `server` brings."""


def main() -> None:
    """Run the command line; ends with its exit status."""
    _find_app()(prog_name="keybearer")


def _find_app() -> Callable[..., object]:
    try:
        from keybearer.cli.main import app, asks_for_client  # noqa: PLC0415 - a base install has no library that it needs
    except ModuleNotFoundError as error:
        _require_missing(error, CLIENT_LIBRARIES)
        print(
            f"keybearer: {error.name} is missing: pip install 'keybearer[cli]' for the commands of the client, or "
            "'keybearer[server]' for those of the service too",
            file=sys.stderr,
        )
        sys.exit(2)
    if asks_for_client(sys.argv[1:]):
        return app
    try:
        from keybearer.server.cli.main import app as whole  # noqa: PLC0415 - takes four times as long to import
    except ModuleNotFoundError as error:
        _require_missing(error, LIBRARIES)
        return app
    return whole


def _require_missing(error: ModuleNotFoundError, libraries: frozenset[str]) -> None:
    """Raises the error again unless it is for want of one of these."""
    if (error.name or "").partition(".")[0] not in libraries:
        raise error


if __name__ == "__main__":
    main()
