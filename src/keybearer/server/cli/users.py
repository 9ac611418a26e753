"""`keybearer users`: the people who log in."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from keybearer.cli.asking import read_secret
from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.cli.importing import make_app
from keybearer.cli.shown import Record, Shown, Table, command
from keybearer.server.adapters.passwords.schemes import UnsupportedPasswordHash, check_importable
from keybearer.server.cli.instants import instant
from keybearer.server.cli.working import administer
from keybearer.server.domain.users import User
from keybearer.server.flows.administration import Administration, Person

app = make_app(help="Users.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(metavar="USER", help="The email address, phone number or id.")]
Role = Annotated[str, typer.Argument(metavar="ROLE", help="As it stands in the claim `roles` of access tokens.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin instead of asking.")]

_COLUMNS = ("id", "email", "phone", "first_name", "last_name", "status", "roles", "created_at")


@command(app, "create")
def create(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    *,
    first_name: Annotated[str, typer.Option()],
    last_name: Annotated[str, typer.Option()],
    phone: Annotated[str | None, typer.Option(help="In international form, as +41446681800.")] = None,
    password_stdin: FromStdin = False,
    password_hash_stdin: Annotated[
        bool, typer.Option("--password-hash-stdin", help="Import a password hash of another system, from stdin.")
    ] = False,
) -> Shown:
    """Create a user. Asks for the password: passwords are never arguments."""
    person = Person(email, first_name, last_name, phone)
    if password_stdin and password_hash_stdin:
        fail("Give --password-stdin or --password-hash-stdin, not both.", WRONGLY_ASKED)
    if password_hash_stdin:
        password_hash = _read_hash()
        return Record(describe(administer(lambda to: to.import_user(person, password_hash))))
    password = read_secret("Password", "--password-stdin", from_stdin=password_stdin, confirmed=True)
    return Record(describe(administer(lambda to: to.create_user(person, password))))


@command(app, "list")
def list_all(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 1000,
    after: Annotated[str | None, typer.Option(help="Go on after this user.")] = None,
) -> Shown:
    """List users in the order in which they were created."""

    async def work(to: Administration) -> Sequence[User]:
        last = (await to.get_user(after)).id if after is not None else None
        return await to.storage.users.list_users(limit=limit, after=last)

    nothing = "There is no user yet; `keybearer users create EMAIL` makes one."
    return Table(_COLUMNS, [describe(user) for user in administer(work)], nothing)


@command(app, "show")
def show(user: Named) -> Shown:
    """Show one user."""
    return Record(describe(administer(lambda to: to.get_user(user))))


@command(app, "disable")
def disable(user: Named) -> Shown:
    """Disable a user: all sessions end, and nobody logs in as this user."""
    return Record(describe(administer(lambda to: to.set_user_enabled(user, enabled=False))))


@command(app, "enable")
def enable(user: Named) -> Shown:
    """Enable a user again; sessions that have ended stay so."""
    return Record(describe(administer(lambda to: to.set_user_enabled(user, enabled=True))))


@command(app, "set-password")
def set_password(user: Named, password_stdin: FromStdin = False) -> Shown:
    """Set a new password; all sessions of the user end."""
    password = read_secret("New password", "--password-stdin", from_stdin=password_stdin, confirmed=True)
    return Record(describe(administer(lambda to: to.set_password(user, password))))


@command(app, "add-role")
def add_role(user: Named, role: Role) -> Shown:
    """Give a user a role; tokens of before are refused, and the next refresh has it."""
    return Record(describe(administer(lambda to: to.change_roles(user, add=(role,)))))


@command(app, "remove-role")
def remove_role(user: Named, role: Role) -> Shown:
    """Take a role from a user; tokens with it are refused at once."""
    return Record(describe(administer(lambda to: to.change_roles(user, remove=(role,)))))


def describe(user: User) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "email": user.email,
        "phone": user.phone,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "status": user.status.value,
        "roles": list(user.roles),
        "created_at": instant(user.created_at),
    }


def _read_hash() -> str:
    """A hash of which it is certain, before it is stored, that it can be verified."""
    text = read_secret("Password hash", "--password-hash-stdin", from_stdin=True)
    try:
        check_importable(text)
    except UnsupportedPasswordHash as error:
        fail(f"The password hash cannot be imported: {error}.")
    return text
