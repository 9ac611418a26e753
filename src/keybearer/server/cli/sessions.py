"""`keybearer sessions`: who is logged in, and ending it."""

from typing import Annotated, Any

import typer

from keybearer.cli.importing import make_app
from keybearer.cli.shown import Record, Shown, Table, command
from keybearer.server.cli.instants import instant
from keybearer.server.cli.working import administer
from keybearer.server.domain.sessions import SessionView

app = make_app(help="Sessions.", no_args_is_help=True)

_COLUMNS = ("id", "user_id", "application", "created_at", "last_used_at", "last_address", "last_agent")


@command(app, "list")
def list_alive(
    user: Annotated[str | None, typer.Option(help="Of this user only: email address, phone number or id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
) -> Shown:
    """List the sessions that can still be refreshed, newest first."""
    found = administer(lambda to: to.list_sessions(user, limit))
    return Table(_COLUMNS, [describe(view) for view in found], "There is no session.")


@command(app, "revoke")
def revoke(session: Annotated[str, typer.Argument(metavar="SESSION-ID")]) -> Shown:
    """End a session: its tokens are refused at once."""
    ended = administer(lambda to: to.revoke_session(session))
    return Record({"id": str(ended.session_id), "revoked_at": instant(ended.at), "sessions": ended.sessions})


def describe(view: SessionView) -> dict[str, Any]:
    session = view.session
    return {
        "id": str(session.id),
        "user_id": str(session.user_id),
        "application_id": str(session.application_id),
        "application": view.application_name,
        "created_at": instant(session.created_at),
        "last_used_at": instant(session.last_used_at),
        "idle_until": instant(session.idle_until),
        "absolute_until": instant(session.absolute_until),
        "first_address": session.first_address,
        "first_agent": session.first_agent,
        "last_address": session.last_address,
        "last_agent": session.last_agent,
    }
