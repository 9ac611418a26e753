"""`keybearer audit`: who did what, when, from where."""

from typing import Annotated, Any

import typer

from keybearer.cli.importing import make_app
from keybearer.cli.shown import Shown, Table, command
from keybearer.server.cli.instants import instant
from keybearer.server.cli.working import with_storage
from keybearer.server.domain.audit import RecordedEvent

app = make_app(help="The audit trail.", no_args_is_help=True)

_COLUMNS = ("id", "at", "kind", "actor", "address", "agent", "user_id", "application_id", "session_id", "detail")


@command(app, "list")
def list_events(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    before: Annotated[int | None, typer.Option(help="Only events older than the one with this id.")] = None,
) -> Shown:
    """List events, newest first."""
    found = with_storage(lambda storage: storage.audit.list_events(limit=limit, before=before))
    return Table(_COLUMNS, [describe(event) for event in found], "There is no event.")


def describe(recorded: RecordedEvent) -> dict[str, Any]:
    event = recorded.event
    ids = {"user_id": event.user_id, "application_id": event.application_id, "session_id": event.session_id}
    return {
        "id": recorded.id,
        "at": instant(recorded.at),
        "kind": event.kind.value,
        "actor": event.actor.kind,
        "address": event.actor.address,
        "agent": event.actor.agent,
        "request_id": event.actor.request_id,
        **{name: None if id is None else str(id) for name, id in ids.items()},
        "detail": dict(event.detail),
    }
