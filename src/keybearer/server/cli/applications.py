"""`keybearer applications`: the client applications that Api-Keys name."""

from typing import Annotated, Any

import typer

from keybearer.cli.importing import make_app
from keybearer.cli.shown import Record, Shown, Table, command
from keybearer.server.cli.durations import parse_duration
from keybearer.server.cli.instants import instant
from keybearer.server.cli.keys import SHOWN_ONCE, describe_created
from keybearer.server.cli.working import administer
from keybearer.server.domain.applications import Application, ApplicationKind, Lifetimes

app = make_app(help="Client applications.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(metavar="APPLICATION", help="Its name or id.")]
Lifetime = Annotated[
    int | None, typer.Option(parser=parse_duration, metavar="DURATION", help="Instead of the service's own setting.")
]

_COLUMNS = ("id", "name", "kind", "state", "origins", "created_at")


@command(app, "create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no other application has.")],
    *,
    kind: Annotated[
        ApplicationKind, typer.Option(help="browser: publishable keys; service: secret keys.")
    ] = ApplicationKind.BROWSER,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="A browser origin that may use it, as https://shop.example.com; repeatable."),
    ] = None,
    access_token_lifetime: Lifetime = None,
    session_idle_lifetime: Lifetime = None,
    session_absolute_lifetime: Lifetime = None,
) -> Shown:
    """Create an application with its first key, which is shown once."""
    lifetimes = Lifetimes(access_token_lifetime, session_idle_lifetime, session_absolute_lifetime)
    application, created = administer(lambda to: to.create_application(name, kind, origin or (), lifetimes))
    no_origin = kind is ApplicationKind.BROWSER and not origin
    hint = " Without --origin no browser may use it; mobile apps may." if no_origin else ""
    return Record(
        {**describe(application), "key": describe_created(created)["id"], "api_key": created.text}, SHOWN_ONCE + hint
    )


@command(app, "list")
def list_all() -> Shown:
    """List all applications."""
    found = administer(lambda to: to.storage.applications.list_applications())
    nothing = "There is no application yet; `keybearer applications create NAME` makes one."
    return Table(_COLUMNS, [describe(application) for application in found], nothing)


@command(app, "show")
def show(application: Named) -> Shown:
    """Show one application."""
    return Record(describe(administer(lambda to: to.get_application(application))))


@command(app, "disable")
def disable(application: Named) -> Shown:
    """Disable an application: all of its sessions end, and its keys are refused."""
    return Record(describe(administer(lambda to: to.set_application_enabled(application, enabled=False))))


@command(app, "enable")
def enable(application: Named) -> Shown:
    """Enable an application again; sessions that have ended stay so."""
    return Record(describe(administer(lambda to: to.set_application_enabled(application, enabled=True))))


def describe(application: Application) -> dict[str, Any]:
    lifetimes = application.lifetimes
    return {
        "id": str(application.id),
        "name": application.name,
        "kind": application.kind.value,
        "state": "enabled" if application.disabled_at is None else "disabled",
        "origins": list(application.origins),
        "created_at": instant(application.created_at),
        "disabled_at": instant(application.disabled_at),
        "access_token_lifetime": lifetimes.access_token,
        "session_idle_lifetime": lifetimes.session_idle,
        "session_absolute_lifetime": lifetimes.session_absolute,
    }
