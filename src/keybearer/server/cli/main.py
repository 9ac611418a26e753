"""The `keybearer` command where the service is installed: its nouns and verbs, beside the commands of the client."""

import os
from pathlib import Path
from typing import Annotated

import typer

from keybearer.cli.importing import ImportingGroup, make_app
from keybearer.cli.main import PANELS, Version
from keybearer.server.settings import CONFIG_FILE, PREFIX

_MODULES = {
    "serve": "serve",
    "migrate": "migrate",
    "backup": "backup",
    "restore": "backup",
    "after-restore": "backup",
    "applications": "applications",
    "keys": "keys",
    "users": "users",
    "sessions": "sessions",
    "signing-keys": "signing_keys",
    "audit": "audit",
    "doctor": "doctor",
    "tour": "tour",
    "demo": "demo",
}


class _Whole(ImportingGroup):
    panels = PANELS | {"Service": {name: f"keybearer.server.cli.{module}" for name, module in _MODULES.items()}}


app = make_app(name="keybearer", cls=_Whole, no_args_is_help=True)


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
