"""`keybearer logout`."""

from typing import Annotated

import typer

from keybearer.cli.ending import FAILED, tell
from keybearer.cli.importing import make_app
from keybearer.cli.profiles import DEFAULT, Profile, ProfileName, get_profile, read_key, tokens_of
from keybearer.cli.shown import Record, Shown, command
from keybearer.cli.working import explained, make_client
from keybearer.client import Client, ConfigurationError, LogoutOutcome, StoreError
from keybearer.client.stored import forget_session
from keybearer.errors import KeybearerError

_ALIVE = "alive"
"""What became of a session that the service was not told of."""


app = make_app()


@command(app, "logout")
def logout(
    all_devices: Annotated[bool, typer.Option("--all-devices", help="End every session of the user.")] = False,
    profile: ProfileName = DEFAULT,
) -> Shown:
    """End the session. Here it ends in any case; says what became of it at the service."""
    with explained(profile):
        chosen = get_profile(profile)
        try:
            client = make_client(chosen, read_key(chosen))
        except ConfigurationError as error:
            if not forget_session(tokens_of(chosen), chosen.url):
                raise
            return _ended_here(profile, error.detail)
        return _log_out(client, chosen, all_devices=all_devices)


def _log_out(client: Client, profile: Profile, *, all_devices: bool) -> Shown:
    with client:
        try:
            outcome = client.logout(all_devices=all_devices)
        except StoreError:
            raise
        except KeybearerError as error:
            return _ended_here(profile.name, error.detail)
    if outcome is LogoutOutcome.UNREACHABLE:
        return _ended_here(profile.name, f"{profile.url} could not be asked.")
    return Record({"profile": profile.name, "session": outcome.value})


def _ended_here(profile: str, why: str) -> Record:
    tell(
        f"{why} The tokens are gone from here; at the service the session lives on until its end. To end it there, log "
        "in again, and then out with --all-devices."
    )
    return Record({"profile": profile, "session": _ALIVE}, status=FAILED)
