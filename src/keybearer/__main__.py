"""The `keybearer` command. It needs the server's libraries, and says how to get them when they are not there."""

import sys

LIBRARIES = frozenset(
    {
        "alembic",
        "argon2",
        "asyncpg",
        "bcrypt",
        "httptools",
        "httpx2",
        "prometheus_client",
        "rich",
        "sqlalchemy",
        "structlog",
        "typer",
        "uvicorn",
        "uvloop",
    }
)
"""What the extra `server` brings."""


def main() -> None:
    """Run the command line; ends with its exit status."""
    try:
        from keybearer.server.cli.main import app  # noqa: PLC0415 - a base install has no library that it needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        print(f"keybearer: {error.name} is missing: pip install 'keybearer[server]'", file=sys.stderr)
        sys.exit(2)
    app(prog_name="keybearer")


if __name__ == "__main__":
    main()
