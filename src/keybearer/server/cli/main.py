"""The `keybearer` command where the service is installed: its nouns and verbs, beside the commands of the client."""

import os
from pathlib import Path
from typing import Annotated

import typer

from keybearer.cli.main import Version, add_client_commands, make_app
from keybearer.cli.shown import command
from keybearer.server.cli import applications, audit, keys, sessions, signing_keys, users
from keybearer.server.cli.backup import after_restore, backup, restore
from keybearer.server.cli.demo import demo
from keybearer.server.cli.doctor import doctor
from keybearer.server.cli.migrate import migrate
from keybearer.server.cli.serve import serve
from keybearer.server.cli.tour import tour
from keybearer.server.settings import CONFIG_FILE, PREFIX

_PANEL = "Service"

_NOUNS = {
    "applications": applications.app,
    "keys": keys.app,
    "users": users.app,
    "sessions": sessions.app,
    "signing-keys": signing_keys.app,
    "audit": audit.app,
}

app = make_app()


@app.callback()
def keybearer(
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help=f"The TOML file of settings; else {CONFIG_FILE}.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="The database; goes before KEYBEARER_DATABASE.")] = None,
    _version: Version = False,
) -> None:
    """A self-hosted authentication service: Api-Keys for applications, tokens for users."""
    if config is not None:
        os.environ[CONFIG_FILE] = str(config.absolute())  # where worker processes find it too
    if database is not None:
        os.environ[f"{PREFIX}DATABASE"] = database


add_client_commands(app)
app.command("serve", rich_help_panel=_PANEL)(serve)
command(app, "migrate", _PANEL)(migrate)
command(app, "backup", _PANEL)(backup)
command(app, "restore", _PANEL)(restore)
command(app, "after-restore", _PANEL)(after_restore)
for name, noun in _NOUNS.items():
    app.add_typer(noun, name=name, rich_help_panel=_PANEL)
app.command("doctor", rich_help_panel=_PANEL)(doctor)
app.command("tour", rich_help_panel=_PANEL)(tour)
app.command("demo", hidden=True)(demo)
