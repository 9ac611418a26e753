"""What a login leaves behind under a name: the service, its origins, and where the Api-Key and the tokens are.

$XDG_CONFIG_HOME/keybearer/<name>.json                 the profile, for its owner only
$XDG_STATE_HOME/keybearer/<name>@<service>.session     the tokens, unless they are in the keyring
$XDG_STATE_HOME/keybearer/<name>@<service>.key         an Api-Key that stands nowhere else, as the tokens
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer

from keybearer.cli.places import config_directory, state_directory
from keybearer.client import (
    ClientError,
    ConfigurationError,
    FileStore,
    KeyringStore,
    NotLoggedIn,
    StoreError,
    TokenStore,
)

API_KEY_VARIABLE: Final = "KEYBEARER_CLIENT_API_KEY"
PROFILE_VARIABLE: Final = "KEYBEARER_CLIENT_PROFILE"
DEFAULT: Final = "default"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_LONGEST_KEY_FILE = 1024


class StoreKind(StrEnum):
    FILE = "file"
    KEYRING = "keyring"


class KeySource(StrEnum):
    """`KEPT`: beside the tokens."""

    FILE = "file"
    ENVIRONMENT = "environment"
    KEPT = "kept"


class ApiKeyUnavailable(ConfigurationError):
    """The Api-Key is not where the profile says."""


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """`url` is that of the service's API; empty before the first login. `key_file` is an absolute path."""

    name: str
    url: str = ""
    origins: tuple[str, ...] = ()
    insecure_origins: tuple[str, ...] = ()
    store: StoreKind = StoreKind.FILE
    key_source: KeySource = KeySource.KEPT
    key_file: str | None = None
    version: Literal[1] = 1


def parse_name(text: str) -> str:
    """The name of a profile, which is part of the names of files."""
    if not _NAME.fullmatch(text):
        raise typer.BadParameter("takes letters, digits, dots, hyphens and underscores, 64 at most.")
    return text


ProfileName = Annotated[
    str,
    typer.Option(
        "--profile",
        envvar=PROFILE_VARIABLE,
        parser=parse_name,
        metavar="NAME",
        help="Which login is meant, for who has several.",
    ),
]


def find_profile(name: str) -> Profile | None:
    """Raises StoreError and ConfigurationError."""
    path = _path_of(name)
    text = FileStore(path).read()
    if text is None:
        return None
    try:
        return msgspec.structs.replace(msgspec.json.decode(text, type=Profile), name=name)
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{path} is no profile ({error}): correct it, or remove it and log in again."
        ) from None


def get_profile(name: str) -> Profile:
    """As `find_profile`; raises NotLoggedIn too."""
    profile = find_profile(name)
    if profile is None:
        raise NotLoggedIn(f"There is no profile named {name}.")
    return profile


def save_profile(profile: Profile) -> None:
    """Raises StoreError and ConfigurationError."""
    _write(FileStore(_path_of(profile.name)), msgspec.json.format(msgspec.json.encode(profile)).decode() + "\n")


def tokens_of(profile: Profile) -> TokenStore:
    """Where the tokens are. ConfigurationError when there is no such store here."""
    return _open(profile, "session")


def read_key(profile: Profile) -> str:
    """The Api-Key. Raises ApiKeyUnavailable, StoreError and ConfigurationError."""
    key: str | None
    match profile.key_source:
        case KeySource.FILE:
            key = read_key_file(Path(profile.key_file or ""))
        case KeySource.ENVIRONMENT:
            key = os.environ.get(API_KEY_VARIABLE)
        case KeySource.KEPT:
            key = _find_kept_key(profile)
    if not key:
        raise ApiKeyUnavailable(_missing(profile))
    return key


def read_key_file(path: Path) -> str:
    """The text of a file, without the line's end. Raises ApiKeyUnavailable."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_KEY_FILE).decode().strip()
    except OSError as error:
        raise ApiKeyUnavailable(f"The file of the Api-Key, {path}, cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ApiKeyUnavailable(f"{path} holds no Api-Key.") from None


def keep_key(profile: Profile, key: str) -> None:
    """Raises StoreError and ConfigurationError."""
    with _failing_as_store_error():
        _write(_open(profile, "key"), key)


def _find_kept_key(profile: Profile) -> str | None:
    if not profile.url:
        return None
    with _failing_as_store_error():
        return _open(profile, "key").read()


@contextmanager
def _failing_as_store_error() -> Iterator[None]:
    """A keyring has errors of its own."""
    try:
        yield
    except ClientError:
        raise
    except Exception as error:
        raise StoreError(f"The keyring failed: {type(error).__name__}.") from error


def _path_of(name: str) -> Path:
    return config_directory() / f"{name}.json"


def _open(profile: Profile, what: str) -> TokenStore:
    service = re.sub(r"[^A-Za-z0-9.-]+", "-", profile.url)
    name = f"{profile.name}@{service}.{what}"
    if profile.store is StoreKind.KEYRING:
        return KeyringStore("keybearer", name, lock_directory=state_directory())
    return FileStore(state_directory() / name)


def _write(store: TokenStore, text: str) -> None:
    """Whoever writes last is right."""
    while not store.replace(store.read(), text):
        pass


def _missing(profile: Profile) -> str:
    match profile.key_source:
        case KeySource.FILE:
            return f"{profile.key_file} is empty: put the Api-Key there, or log in again."
        case KeySource.ENVIRONMENT:
            return f"{API_KEY_VARIABLE} is not set, and the profile {profile.name} takes its Api-Key from there."
        case KeySource.KEPT:
            return f"The Api-Key of the profile {profile.name} is gone: log in again."
