"""A session in a file, for all processes of one user."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from keybearer.client._errors import StoreError
from keybearer.client._record import MAX_BYTES
from keybearer.client.stores._file_lock import FileLock

_WRITE_WAIT: Final = 10.0
"""Seconds; a write takes milliseconds, and no one else's code runs meanwhile."""


class FileStore:
    """`path` is written by its owner only, and whole or not at all. Beside it stand `<name>.lock` (held during a
    refresh) and `<name>.writing` (held during a write). A directory that is missing is made, for its owner only.

    StoreError says what failed, and why.
    """

    __slots__ = ("_path", "_refreshing", "_writing")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._refreshing = FileLock(self._beside(".lock"))
        self._writing = FileLock(self._beside(".writing"))

    def __repr__(self) -> str:
        return f"FileStore({str(self._path)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return FileStore, (str(self._path),)

    def read(self) -> str | None:
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_BYTES + 1).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read", error) from None

    def replace(self, expected: str | None, text: str) -> bool:
        with self._exclusive("written"):
            if self.read() != expected:
                return False
            self._write(text)
            return True

    def set_aside(self, text: str) -> str:
        corrupt = self._beside(".corrupt")
        with self._exclusive("moved"):
            if self.read() == text:
                self._path.replace(corrupt)
        return f"it is kept as {corrupt}"

    @contextmanager
    def lock(self, timeout: float) -> Iterator[bool]:
        with ExitStack() as stack:
            try:
                self._make_directory()
                held = stack.enter_context(self._refreshing.hold(timeout))
            except OSError as error:
                raise self._failed("locked", error) from None
            yield held

    @contextmanager
    def _exclusive(self, what: str) -> Iterator[None]:
        try:
            self._make_directory()
            with self._writing.hold(_WRITE_WAIT) as held:
                if not held:
                    raise StoreError(f"{self._path} could not be {what}: another process has it locked.")
                yield
        except OSError as error:
            raise self._failed(what, error) from None

    def _make_directory(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _write(self, text: str) -> None:
        """In a file of its own first; a draft that a killed process has left is written over."""
        draft = self._beside(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def _failed(self, what: str, error: OSError) -> StoreError:
        return StoreError(
            f"{self._path} could not be {what}: {error.strerror or type(error).__name__}. Make it readable and "
            "writable for this user, or choose another path."
        )
