"""`keybearer doctor`: looks at everything that an installation needs, and says what to do about what is wrong."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import typer
from rich.console import Console

from keybearer.base64url import encode_base64url
from keybearer.cli.importing import make_app
from keybearer.cli.shown import Json
from keybearer.errors import ServiceError
from keybearer.server import app as composition
from keybearer.server.adapters.clock import SystemClock
from keybearer.server.adapters.key_encryption import KEY_BYTES
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.domain.secret_keys import KeyPurpose, KeyState, SecretKey
from keybearer.server.flows.secret_keys import NoActiveKey
from keybearer.server.ports import KeyEncryptionError, Storage
from keybearer.server.settings import Settings, SettingsError, load_settings
from keybearer.server.storage.schema import SchemaState, schema_state

TOLERATED_DRIFT = 1000
"""Milliseconds between this machine's clock and the database's that nobody notices."""

app = make_app()


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do about it unless it is well."""

    check: str
    verdict: Verdict
    says: str
    todo: str = ""


@app.command("doctor")
def doctor(as_json: Json = False) -> None:
    """Check the settings, the database, the clocks and the keys. Changes nothing. Ends with 1 when something fails."""
    findings = list(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        _print(findings)
    raise typer.Exit(1 if any(finding.verdict is Verdict.FAIL for finding in findings) else 0)


def examine() -> Iterator[Finding]:
    """All findings, as far as one thing allows to look at the next."""
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        yield Finding("settings", Verdict.FAIL, str(error), "Correct the setting; docs/configuration.md lists them.")
        return
    yield Finding("settings", Verdict.OK, f"The issuer is {settings.issuer}.")
    yield from (
        Finding("settings", Verdict.WARN, warning, "See docs/configuration.md.") for warning in settings.warnings()
    )
    yield _examine_key_encryption(settings)
    yield from _examine_files(settings)
    schema = _examine_schema(settings)
    yield schema
    if schema.verdict is Verdict.OK:
        yield from asyncio.run(_examine_storage(settings))


def _examine_key_encryption(settings: Settings) -> Finding:
    """Whether there is a key; a file is not made for it."""
    check = "key-encryption key"
    if not _has_key(settings):
        if settings.sqlite_path is not None:
            return Finding(check, Verdict.OK, "It is made beside the database at the first start of the service.")
        fresh = encode_base64url(SystemRandomness().bytes(KEY_BYTES))
        todo = f"Set KEYBEARER_KEY_ENCRYPTION_KEY for every process, and keep a copy. A fresh one: {fresh}"
        return Finding(check, Verdict.FAIL, "There is none, and PostgreSQL needs one.", todo)
    try:
        composition.build_key_encryption(settings)
    except (KeyEncryptionError, SettingsError) as error:
        return Finding(check, Verdict.FAIL, str(error), "Put the key there with which the stored keys were sealed.")
    return Finding(check, Verdict.OK, "It is there, and others cannot read it.")


def _examine_files(settings: Settings) -> Iterator[Finding]:
    path = settings.sqlite_path
    if path is None or not path.exists():
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("database file", Verdict.WARN, f"{path} is open to others.", f"chmod 600 {path}")
    else:
        yield Finding("database file", Verdict.OK, f"{path}, readable by its owner only.")


def _examine_schema(settings: Settings) -> Finding:
    check = "database"
    try:
        state = schema_state(settings.database)
    except ServiceError as error:
        return Finding(check, Verdict.FAIL, error.detail, "Check KEYBEARER_DATABASE, and that the database runs.")
    if state is SchemaState.CURRENT:
        return Finding(check, Verdict.OK, "It answers, and its tables are those of this release.")
    if state is SchemaState.AHEAD:
        return Finding(check, Verdict.FAIL, "A newer release has migrated it.", "Use that release.")
    verdict = Verdict.FAIL if settings.sqlite_path is None else Verdict.WARN
    says = "It has no tables yet." if state is SchemaState.EMPTY else "Its tables are those of an older release."
    return Finding(check, verdict, says, "Run `keybearer migrate`.")


async def _examine_storage(settings: Settings) -> Sequence[Finding]:
    try:
        async with composition.open_storage(settings) as storage:
            clock = _examine_clock(SystemClock().now(), await storage.now())
            return [clock, *[finding async for finding in _examine_keys(settings, storage)]]
    except ServiceError as error:
        return [Finding("database", Verdict.FAIL, error.detail, "Check that the database runs.")]


def _examine_clock(here: int, there: int) -> Finding:
    drift = here - there
    says = f"This machine's clock and the database's are {abs(drift)} ms apart."
    if abs(drift) <= TOLERATED_DRIFT:
        return Finding("clock", Verdict.OK, says)
    return Finding("clock", Verdict.WARN, says, "Let NTP set the clocks of both machines.")


async def _examine_keys(settings: Settings, storage: Storage) -> AsyncIterator[Finding]:
    """Whether the stored keys can be opened, and whether a rotation has come to its end."""
    check = "stored keys"
    keys = await storage.secret_keys.list_keys()
    if not keys:
        yield Finding(check, Verdict.OK, "There is none yet; the service makes them at its first start.")
        return
    try:
        encryption = composition.build_key_encryption(settings) if _has_key(settings) else None
        if encryption is None:
            raise KeyEncryptionError("The key-encryption key with which they were sealed is not there.")
        await composition.build_secret_keys(settings, storage, encryption).load()
    except (KeyEncryptionError, SettingsError, NoActiveKey) as error:
        todo = "Put the right key-encryption key in place. Without it all sessions end: see docs/operations.md."
        yield Finding(check, Verdict.FAIL, str(error), todo)
        return
    yield Finding(check, Verdict.OK, f"The key-encryption key opens all {len(keys)}.")
    for finding in _examine_rotation(keys, settings, await storage.now()):
        yield finding


def _examine_rotation(keys: Sequence[SecretKey], settings: Settings, now: int) -> Iterator[Finding]:
    for key in keys:
        active = key.state is KeyState.ACTIVE and key.purpose is KeyPurpose.SIGNING
        if key.state is KeyState.NEXT and key.usable_from + 600_000 < now:
            says = f"The next {key.purpose} key has waited for longer than it should."
            yield Finding("rotation", Verdict.WARN, says, "Start the service: it activates keys that are due.")
        elif active and key.algorithm != settings.signing_algorithm:
            says = (
                f"Tokens are signed with {key.algorithm}; KEYBEARER_SIGNING_ALGORITHM is {settings.signing_algorithm}."
            )
            yield Finding("rotation", Verdict.WARN, says, "Run `keybearer signing-keys rotate`.")


def _has_key(settings: Settings) -> bool:
    """Whether there is a key-encryption key, or a file is named that must hold one: nothing is made to look at it."""
    if settings.key_encryption_key is not None or settings.key_encryption_key_file is not None:
        return True
    beside = settings.key_file_beside_database
    return beside is not None and beside.exists()


_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def _print(findings: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    for finding in findings:
        console.print(f"{finding.verdict.value:<5}", style=_STYLES[finding.verdict], end="")
        console.print(f"{finding.check}: {finding.says}", markup=False, soft_wrap=True)
        if finding.todo and finding.verdict is not Verdict.OK:
            console.print(f"     {finding.todo}", markup=False, soft_wrap=True)
