"""What a command asks of the person at the terminal, or reads from stdin. Secrets are never arguments: others could see
those."""

import sys

import typer

from keybearer.cli.ending import WRONGLY_ASKED, fail


def ask(label: str, instead: str) -> str:
    """A line, typed at the terminal. `instead` says what to give where there is none."""
    _require_terminal(instead)
    # Typer would write a part of its question to stdout, where programs read.
    print(f"{label}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if not answer:
        raise typer.Abort
    return answer


def ask_secret(label: str, instead: str, *, confirmed: bool = False) -> str:
    """As `ask`, and nobody sees what is typed; `confirmed`: twice."""
    _require_terminal(instead)
    answer: str = typer.prompt(label, hide_input=True, confirmation_prompt=confirmed, err=True)
    return answer


def read_secret(label: str, option: str, *, from_stdin: bool, confirmed: bool = False) -> str:
    """The first line of stdin when `option` has said so, else as `ask_secret`."""
    if from_stdin:
        return _first_line(option)
    return ask_secret(label, f"{option}, and the {label.lower()} on stdin", confirmed=confirmed)


def _require_terminal(instead: str) -> None:
    if not sys.stdin.isatty():
        fail(f"There is no terminal to ask on: give {instead}.", WRONGLY_ASKED)


def _first_line(option: str) -> str:
    try:
        line = sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        fail(f"{option}: stdin is not UTF-8.", WRONGLY_ASKED)
    if not line:
        fail(f"{option}: there is nothing on stdin.", WRONGLY_ASKED)
    return line
