"""`keybearer token`."""

from typing import Annotated

import typer

from keybearer.cli.importing import make_app
from keybearer.cli.profiles import DEFAULT, ProfileName
from keybearer.cli.shown import Record, Shown, Text, command
from keybearer.cli.working import opened
from keybearer.client import Client

app = make_app()


@command(app, "token")
def token(
    info: Annotated[
        bool, typer.Option("--info", help="Ask the service about the token instead of printing it.")
    ] = False,
    profile: ProfileName = DEFAULT,
) -> Shown:
    """Print an access token, a new one if it is near its end. For scripts: Authorization: Bearer $(keybearer token)"""
    with opened(profile) as client:
        return _information(client) if info else Text("access_token", client.access_token())


def _information(client: Client) -> Record:
    about = client.inspect()
    return Record(
        {
            "token_id": about.id,
            "user_id": about.attributes.user_id,
            "application_id": about.attributes.application_id,
            "session_id": about.attributes.session_id,
            "issued_at": about.attributes.issued_at,
            "expires_at": about.attributes.expires_at,
            "expires_in": about.attributes.expires_in,
            "scope": about.attributes.claims.get("scope"),
            "roles": about.attributes.claims.get("roles", []),
        }
    )
