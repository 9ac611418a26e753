"""`keybearer login`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from keybearer.cli.asking import ask, ask_secret, read_secret
from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.cli.importing import make_app
from keybearer.cli.profiles import (
    API_KEY_VARIABLE,
    DEFAULT,
    ApiKeyUnavailable,
    KeySource,
    Profile,
    ProfileName,
    StoreKind,
    find_profile,
    keep_key,
    read_key,
    read_key_file,
    save_profile,
)
from keybearer.cli.shown import Record, Shown, command
from keybearer.cli.working import explained, make_client
from keybearer.client import Client, StoreError
from keybearer.errors import KeybearerError
from keybearer.outgoing.address import parse_address


def parse_url(text: str) -> str:
    """The address of a service's API, in the one way in which it is remembered."""
    try:
        return str(parse_address(text, allow_http=True))
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None


Url = Annotated[
    str | None,
    typer.Option(parser=parse_url, metavar="URL", help="The service's API, as https://auth.example.com/v1/api."),
]
Origins = Annotated[
    list[str] | None,
    typer.Option(metavar="ORIGIN", help="Where `keybearer curl` may take the credentials besides; repeatable."),
]
InsecureOrigins = Annotated[
    list[str] | None,
    typer.Option(metavar="ORIGIN", help="One that may be plain http although it is beyond this machine."),
]
KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help=f"Where the Api-Key is; else {API_KEY_VARIABLE}, or asked for.")
]


app = make_app()


@command(app, "login")
def login(
    *,
    url: Url = None,
    origin: Origins = None,
    insecure_origin: InsecureOrigins = None,
    api_key_file: KeyFile = None,
    username: Annotated[str | None, typer.Option(help="Email address or phone number; else asked for.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin instead of asking.")
    ] = False,
    profile: ProfileName = DEFAULT,
    store: Annotated[StoreKind | None, typer.Option(help="Where the tokens are kept; a file by default.")] = None,
) -> Shown:
    """Begin a session. Asks for the password: passwords and keys are never arguments.

    Address, origins and the place of the Api-Key are remembered; a later login needs to name only what changes.
    """
    with explained(profile):
        before = find_profile(profile) or Profile(profile)
        chosen = replace(
            before,
            url=url or before.url,
            origins=tuple(origin or before.origins),
            insecure_origins=tuple(insecure_origin or before.insecure_origins),
            store=store or before.store,
        )
        if not chosen.url:
            fail("Give --url, the address of the service.", WRONGLY_ASKED)
        chosen, api_key = _choose_key(chosen, api_key_file)
        _require_same_place(before, chosen, api_key)
        with make_client(chosen, api_key) as client:
            name = username or ask("Email or phone", "--username")
            password = read_secret("Password", "--password-stdin", from_stdin=password_stdin)
            with _revoked_unless_remembered(client):
                user = client.login(name, password)
                _remember(chosen, api_key)
    named = {"user_id": user.id, "email": user.email, "first_name": user.first_name, "last_name": user.last_name}
    return Record({"profile": profile, "service": chosen.url, **named})


def _choose_key(profile: Profile, file: Path | None) -> tuple[Profile, str]:
    """The profile with the place of its Api-Key, and the key. What can be read only once is kept."""
    if file is not None and file.is_file():
        return replace(profile, key_source=KeySource.FILE, key_file=str(file.absolute())), read_key_file(file)
    if file is not None:
        return replace(profile, key_source=KeySource.KEPT, key_file=None), read_key_file(file)
    if os.environ.get(API_KEY_VARIABLE):
        return replace(profile, key_source=KeySource.ENVIRONMENT, key_file=None), os.environ[API_KEY_VARIABLE]
    try:
        return profile, read_key(profile)
    except ApiKeyUnavailable:
        key = ask_secret("Api-Key", f"--api-key-file, or set {API_KEY_VARIABLE}")
        return replace(profile, key_source=KeySource.KEPT, key_file=None), key.strip()


def _require_same_place(before: Profile, chosen: Profile, api_key: str) -> None:
    """No session may be left where no command would find it."""
    same = before.url == chosen.url and before.store is chosen.store
    if not before.url or same:
        return
    if make_client(before, api_key).signed_in:
        fail(
            f"The profile {before.name} has a session at {before.url}, in the store `{before.store}`: log out first, "
            "or choose another profile with --profile.",
            WRONGLY_ASKED,
        )


def _remember(profile: Profile, api_key: str) -> None:
    if profile.key_source is KeySource.KEPT:
        keep_key(profile, api_key)
    save_profile(profile)


@contextmanager
def _revoked_unless_remembered(client: Client) -> Iterator[None]:
    """A session that no later command would find must not go on unseen."""
    try:
        yield
    except StoreError:
        with suppress(KeybearerError):
            client.logout()
        raise
