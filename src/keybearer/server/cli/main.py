"""The `keybearer` command: its nouns and verbs. One file for each."""

import os
from pathlib import Path
from typing import Annotated

import typer

from keybearer import __version__
from keybearer.server.cli import applications, audit, keys, sessions, signing_keys, users
from keybearer.server.cli.demo import demo
from keybearer.server.cli.doctor import doctor
from keybearer.server.cli.migrate import migrate
from keybearer.server.cli.serve import serve
from keybearer.server.cli.shown import command
from keybearer.server.cli.tour import tour
from keybearer.server.settings import CONFIG_FILE, PREFIX

# Typer's own tracebacks show the values of variables, passwords among them.
app = typer.Typer(name="keybearer", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def keybearer(
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help=f"The TOML file of settings; else {CONFIG_FILE}.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="The database; goes before KEYBEARER_DATABASE.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A self-hosted authentication service: Api-Keys for applications, tokens for users."""
    if config is not None:
        os.environ[CONFIG_FILE] = str(config.absolute())  # where worker processes find it too
    if database is not None:
        os.environ[f"{PREFIX}DATABASE"] = database


app.command("serve")(serve)
command(app, "migrate")(migrate)
app.add_typer(applications.app, name="applications")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(sessions.app, name="sessions")
app.add_typer(signing_keys.app, name="signing-keys")
app.add_typer(audit.app, name="audit")
app.command("doctor")(doctor)
app.command("tour")(tour)
app.command("demo", hidden=True)(demo)
