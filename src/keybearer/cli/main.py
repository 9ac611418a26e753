"""The commands of the client, which a program without the service has by themselves."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keybearer import __version__
from keybearer.cli.curl import curl
from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.cli.login import login
from keybearer.cli.logout import logout
from keybearer.cli.shown import command
from keybearer.cli.token import token
from keybearer.cli.whoami import whoami

_PANEL = "Client"


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")]


class _WithoutService(TyperGroup):
    """Says of a command that it does not know how to get it."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        known = super().get_command(ctx, cmd_name)
        if known is None:
            fail(
                f"There is no command {cmd_name!r} here. Those of the service need more: "
                "pip install 'keybearer[server]'.",
                WRONGLY_ASKED,
            )
        return known


def make_app(group: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """A command line without commands."""
    # Typer's own tracebacks show the values of variables, passwords among them.
    return typer.Typer(
        name="keybearer", cls=group, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
    )


def add_client_commands(app: typer.Typer) -> None:
    command(app, "login", _PANEL)(login)
    command(app, "logout", _PANEL)(logout)
    command(app, "whoami", _PANEL)(whoami)
    command(app, "token", _PANEL)(token)
    app.command("curl", rich_help_panel=_PANEL)(curl)


app = make_app(_WithoutService)
add_client_commands(app)


@app.callback(epilog=r"The commands of the service come with keybearer\[server].")
def keybearer(_version: Version = False) -> None:
    """Requests with both credentials, tokens that are refreshed in time, sessions that are never lost."""


def asks_for_client(words: Sequence[str]) -> bool:
    """Whether these arguments are for a command of the client, which needs nothing of the service."""
    return bool(words) and words[0] in {command.name for command in app.registered_commands}
