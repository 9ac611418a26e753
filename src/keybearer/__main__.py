"""The `keybearer` command: the client's commands, and the service's where its libraries are there. Names the extra that
is missing."""

import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec

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
    missing = _missing(CLIENT_LIBRARIES)
    if missing is not None:
        print(
            f"keybearer: {missing} is missing: pip install 'keybearer[cli]' for the commands of the client, or "
            "'keybearer[server]' for those of the service too",
            file=sys.stderr,
        )
        sys.exit(2)
    if _missing(LIBRARIES) is None:
        from keybearer.server.cli.main import app as whole  # noqa: PLC0415 - not every install has its libraries

        return whole
    from keybearer.cli.main import app  # noqa: PLC0415 - a base install has no library that it needs

    return app


def _missing(libraries: Iterable[str]) -> str | None:
    """One of these that is not there."""
    return next((name for name in sorted(libraries) if find_spec(name) is None), None)


if __name__ == "__main__":
    main()
