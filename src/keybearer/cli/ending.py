"""How commands end. Exit statuses: 0 done, 1 not done, 2 asked for or set up wrongly."""

import sys
from typing import Final, NoReturn

import typer

FAILED: Final = 1
WRONGLY_ASKED: Final = 2


def tell(message: str) -> None:
    """A line on stderr."""
    print(f"keybearer: {message}", file=sys.stderr)


def fail(message: str, status: int = FAILED) -> NoReturn:
    """End the command: the message on stderr, and the status."""
    tell(message)
    raise typer.Exit(status)
