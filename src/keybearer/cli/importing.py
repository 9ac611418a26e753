"""Commands that are imported when they are asked for, so that a process holds what it does and nothing else, and begins
at once."""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


def make_app(**options: Any) -> typer.Typer:
    """A `typer.Typer`, as every module of a command has one: `app`."""
    # Typer's own tracebacks show the values of variables, passwords among them.
    return typer.Typer(pretty_exceptions_enable=False, add_completion=False, **options)


Panels = Mapping[str, Mapping[str, str]]
"""Headings of the help; under each the names of commands, and of the modules that have them."""


class Importing(UserDict[str, Any]):
    """Commands by name, each imported and made at every look."""

    def __init__(self, panels: Panels) -> None:
        super().__init__(
            {name: (panel, module) for panel, modules in panels.items() for name, module in modules.items()}
        )

    def __getitem__(self, name: str) -> Any:
        panel, module = super().__getitem__(name)
        group: Any = typer.main.get_group(import_module(module).app)
        found = group.commands.get(name, group)  # a verb of the module, or the noun that has its verbs
        found.name, found.rich_help_panel = name, panel
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """Not the inherited one, to which a KeyError of the import would say that there is no such command."""
        if name not in self:
            return default
        return self[name]


class ImportingGroup(TyperGroup):
    """A command line of such commands."""

    panels: ClassVar[Panels]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Importing(self.panels)
