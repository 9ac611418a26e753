"""A session that ends with the process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from keybearer.client._forks import renew_after_fork


class MemoryStore:
    """Clients of one process may share it. A pickled one takes the session along, and a fork has a copy of its own: who
    goes on using both for longer than the service's retry window needs a FileStore."""

    __slots__ = ("__weakref__", "_refreshing", "_text", "_writing")

    def __init__(self) -> None:
        self._text: str | None = None
        self.renew()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return "MemoryStore()"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self._text,)

    def renew(self) -> None:
        self._writing = threading.Lock()
        self._refreshing = threading.Lock()

    def read(self) -> str | None:
        return self._text

    def replace(self, expected: str | None, text: str) -> bool:
        with self._writing:
            if self._text != expected:
                return False
            self._text = text
            return True

    def set_aside(self, text: str) -> str:
        with self._writing:
            if self._text == text:
                self._text = None
        return "it was dropped"

    @contextmanager
    def lock(self, timeout: float) -> Iterator[bool]:
        refreshing = self._refreshing
        held = refreshing.acquire(timeout=timeout)
        try:
            yield held
        finally:
            if held:
                refreshing.release()


def _restore(text: str | None) -> MemoryStore:
    store = MemoryStore()
    if text is not None:
        store.replace(None, text)
    return store
