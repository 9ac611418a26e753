"""What a command shows: for people as a table or lines, for programs (`--json`) as one JSON document.

A command's function returns a `Shown`; `command` makes a command of it and gives it `--json`.
"""

import functools
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, ParamSpec

import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

P = ParamSpec("P")

_WIDE = 500
"""Columns of an output that is no terminal: nothing is broken into lines."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing: an object of JSON values. `note` says to people what the values do not; the command ends with
    `status`."""

    values: Mapping[str, Any]
    note: str = ""
    status: int = 0

    def document(self) -> object:
        return dict(self.values)

    def print(self) -> None:
        width = max(map(len, self.values), default=0)
        for name, value in self.values.items():
            print(f"{_title(name):<{width}}  {_text(value)}".rstrip())
        if self.note:
            print(f"\n{self.note}")


@dataclass(frozen=True, slots=True)
class Table:
    """Several things: an array of objects with the same members, of which people see `columns`."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    nothing: str
    status: ClassVar[int] = 0

    def document(self) -> object:
        return [dict(row) for row in self.rows]

    def print(self) -> None:
        if not self.rows:
            print(self.nothing)
            return
        table = RichTable(box=None, pad_edge=False, header_style="bold")
        for column in self.columns:
            table.add_column(_title(column), overflow="fold")
        for row in self.rows:
            table.add_row(*(RichText(_text(row[column])) for column in self.columns))
        Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(table)


@dataclass(frozen=True, slots=True)
class Text:
    """One value, which scripts take as it is."""

    name: str
    value: str
    status: ClassVar[int] = 0

    def document(self) -> object:
        return {self.name: self.value}

    def print(self) -> None:
        print(self.value)


Shown = Record | Table | Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def command(app: typer.Typer, name: str) -> Callable[[Callable[P, Shown]], Callable[P, Shown]]:
    """Make the function a command of `app`, with the option `--json`; what it returns is printed."""

    def register(function: Callable[P, Shown]) -> Callable[P, Shown]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            as_json = kwargs.pop("as_json")
            shown = function(*args, **kwargs)
            if as_json:
                print(json.dumps(shown.document(), ensure_ascii=False))
            else:
                shown.print()
            if shown.status != 0:
                raise typer.Exit(shown.status)

        signature = inspect.signature(function)
        option = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
        parameters = [*signature.parameters.values(), option]
        vars(run)["__signature__"] = signature.replace(parameters=parameters, return_annotation=None)
        run.__annotations__ = {**function.__annotations__, "as_json": Json, "return": None}
        app.command(name)(run)
        return function

    return register


def _title(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    """A value on one line, without characters that could command the terminal."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_text, value)) or "-"
        case dict():
            return " ".join(f"{name}={_text(one)}" for name, one in value.items()) or "-"
        case _:
            return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(value))
