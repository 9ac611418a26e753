"""A session in the system's keyring."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from keybearer.client._errors import ConfigurationError, StoreError
from keybearer.client.stores._file_lock import FileLock

_WRITE_WAIT: Final = 60.0
"""Seconds; a keyring may ask its user for a password."""


class KeyringStore:
    """The entry `username` of `service`. A keyring cannot compare before it writes, so that processes exclude each
    other by locks in `lock_directory` (by default `keybearer` in the user's state directory).

    ConfigurationError when the library is missing; StoreError for what the keyring refuses.
    """

    __slots__ = ("_directory", "_keyring", "_refreshing", "_service", "_username", "_writing")

    def __init__(self, service: str, username: str, *, lock_directory: str | os.PathLike[str] | None = None) -> None:
        self._keyring = _import_keyring()
        self._service = service
        self._username = username
        self._directory = Path(lock_directory) if lock_directory is not None else _state_directory()
        name = "".join(c if c.isalnum() else "-" for c in f"{service}-{username}")
        self._refreshing = FileLock(self._directory / f"{name}.lock")
        self._writing = FileLock(self._directory / f"{name}.writing")

    def __repr__(self) -> str:
        return f"KeyringStore({self._service!r}, {self._username!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self._service, self._username, str(self._directory))

    def read(self) -> str | None:
        text: str | None = self._keyring.get_password(self._service, self._username)
        return text

    def replace(self, expected: str | None, text: str) -> bool:
        with self._exclusive():
            if self.read() != expected:
                return False
            self._keyring.set_password(self._service, self._username, text)
            return True

    def set_aside(self, text: str) -> str:
        with self._exclusive():
            if self.read() == text:
                self._keyring.delete_password(self._service, self._username)
        return "it was removed from the keyring"

    @contextmanager
    def lock(self, timeout: float) -> Iterator[bool]:
        self._make_directory()
        with self._refreshing.hold(timeout) as held:
            yield held

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._make_directory()
        with self._writing.hold(_WRITE_WAIT) as held:
            if not held:
                raise StoreError(f"The keyring's entry for {self._service} is locked by another process.")
            yield

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _import_keyring() -> ModuleType:
    try:
        import keyring  # noqa: PLC0415 - an extra, which only this store needs
    except ModuleNotFoundError:
        raise ConfigurationError("KeyringStore needs the keyring library: pip install 'keybearer[keyring]'.") from None
    return keyring


def _state_directory() -> Path:
    """XDG Base Directory Specification: what persists and is of this machine."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "keybearer"


def _restore(service: str, username: str, lock_directory: str) -> KeyringStore:
    return KeyringStore(service, username, lock_directory=lock_directory)
