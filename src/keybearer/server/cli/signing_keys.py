"""`keybearer signing-keys`: what tokens are signed and derived with."""

from typing import Annotated, Any

import typer

from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.cli.importing import make_app
from keybearer.cli.shown import Record, Shown, Table, command
from keybearer.server.cli.instants import instant
from keybearer.server.cli.working import operator, with_secret_keys, with_storage
from keybearer.server.domain.secret_keys import KeyPurpose, SecretKey
from keybearer.server.flows.secret_keys import SecretKeys

app = make_app(help="The keys with which tokens are made.", no_args_is_help=True)

_COLUMNS = ("id", "purpose", "algorithm", "state", "kid", "created_at", "usable_from", "retired_at")


@command(app, "list")
def list_all() -> Shown:
    """List the keys that make and verify tokens, never the keys themselves."""
    found = with_storage(lambda storage: storage.secret_keys.list_keys())
    nothing = "There is no key yet; the service makes them at its first start."
    return Table(_COLUMNS, [describe(key) for key in found], nothing)


@command(app, "rotate")
def rotate(
    purpose: Annotated[KeyPurpose, typer.Option(help="Which key to follow.")] = KeyPurpose.SIGNING,
    now: Annotated[
        bool, typer.Option("--now", help="Use it at once, before every cache has it: after a leak only.")
    ] = False,
) -> Shown:
    """Begin a rotation: the next key is published now, and used once every cache has it. The service ends it."""
    if now and purpose is KeyPurpose.REFRESH_TOKEN:
        fail(
            "A refresh-token key cannot be used at once: other processes learn of it within a minute, and would refuse "
            "its tokens until then. Rotate without --now.",
            WRONGLY_ASKED,
        )

    async def work(keys: SecretKeys) -> SecretKey | None:
        await keys.ensure()
        key = await keys.rotate(purpose, operator(), now=now)
        if now:
            await keys.renew()
        return key

    key = with_secret_keys(work)
    if key is None:
        fail("A rotation is under way: the next key waits for its time. `keybearer signing-keys list` shows it.")
    note = "It is in use." if now else "Running services use it from then on; nothing else is to be done."
    return Record(describe(key), note)


def describe(key: SecretKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "purpose": key.purpose.value,
        "algorithm": key.algorithm,
        "kid": key.kid,
        "state": key.state.value,
        "created_at": instant(key.created_at),
        "usable_from": instant(key.usable_from),
        "activated_at": instant(key.activated_at),
        "retired_at": instant(key.retired_at),
    }
