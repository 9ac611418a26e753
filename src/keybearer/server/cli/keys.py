"""`keybearer keys`: the Api-Keys of applications."""

from typing import Annotated, Any

import typer

from keybearer.cli.importing import make_app
from keybearer.cli.shown import Record, Shown, Table, command
from keybearer.credentials.api_key import ApiKeyKind
from keybearer.server.cli.durations import parse_duration
from keybearer.server.cli.instants import instant
from keybearer.server.cli.working import administer
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.flows.administration import CreatedKey

app = make_app(help="Api-Keys.", no_args_is_help=True)

SHOWN_ONCE = "The key is shown this once; only its hash is kept."

_COLUMNS = ("id", "hint", "kind", "permissions", "state", "application_id", "created_at", "last_used_at", "expires_at")


@command(app, "create")
def create(
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="Its name or id.")],
    kind: Annotated[
        ApiKeyKind | None, typer.Option(help="publishable for browsers and mobile apps, secret for servers.")
    ] = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(help="guard or admin, for a secret key that works at Keybearer only; repeatable."),
    ] = None,
    expires_in: Annotated[
        int | None, typer.Option(parser=parse_duration, metavar="DURATION", help="When it expires, as 90d.")
    ] = None,
) -> Shown:
    """Create a further key of an application. It is shown once. Keys rotate by having several for a while."""
    created = administer(lambda to: to.create_key(application, kind, permission or (), expires_in))
    return Record(describe_created(created), SHOWN_ONCE)


@command(app, "list")
def list_all(
    application: Annotated[str | None, typer.Argument(metavar="[APPLICATION]", help="Of this one only.")] = None,
) -> Shown:
    """List keys, never their text."""
    found = administer(lambda to: to.list_keys(application))
    return Table(_COLUMNS, [describe(key) for key in found], "There is no key.")


@command(app, "revoke")
def revoke(key: Annotated[str, typer.Argument(metavar="KEY-ID", help="The id, as `keys list` shows it.")]) -> Shown:
    """Revoke a key, at once and for good."""
    return Record(describe(administer(lambda to: to.revoke_key(key))))


def describe_created(created: CreatedKey) -> dict[str, Any]:
    return {**describe(created.key), "api_key": created.text}


def describe(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "application_id": str(key.application_id),
        "kind": key.kind.value,
        "hint": key.hint,
        "permissions": sorted(key.permissions),
        "state": "active" if key.revoked_at is None else "revoked",
        "created_at": instant(key.created_at),
        "expires_at": instant(key.expires_at),
        "revoked_at": instant(key.revoked_at),
        "last_used_at": instant(key.last_used_at),
    }
