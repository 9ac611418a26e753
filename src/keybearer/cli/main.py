"""The commands of the client, which a program without the service has by themselves."""

from typing import Annotated, Any

import typer

from keybearer import __version__
from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.cli.importing import ImportingGroup, make_app

PANELS = {"Client": {name: f"keybearer.cli.{name}" for name in ("login", "logout", "whoami", "token", "curl")}}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")]


class _WithoutService(ImportingGroup):
    """Says of a command that it does not know how to get it."""

    panels = PANELS

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        known = super().get_command(ctx, cmd_name)
        if known is None:
            fail(
                f"There is no command {cmd_name!r} here. Those of the service need more: "
                "pip install 'keybearer[server]'.",
                WRONGLY_ASKED,
            )
        return known


app = make_app(name="keybearer", cls=_WithoutService, no_args_is_help=True)


@app.callback(epilog=r"The commands of the service come with keybearer\[server].")
def keybearer(_version: Version = False) -> None:
    """Requests with both credentials, tokens that are refreshed in time, sessions that are never lost."""
