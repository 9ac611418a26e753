"""A store that is asked with `await`, for the threads in which a client works."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from keybearer.client._errors import ConfigurationError, StoreError
from keybearer.client._flights import home
from keybearer.client.stores._contract import AsyncTokenStore

WAIT: Final = 10.0
"""Seconds for one call."""

Result = TypeVar("Result")


class BridgedStore:
    """Asks `store` on the event loop of the task for which the thread works."""

    __slots__ = ("_store",)

    def __init__(self, store: AsyncTokenStore) -> None:
        self._store = store

    def read(self) -> str | None:
        return _ask(self._store.read)

    def replace(self, expected: str | None, text: str) -> bool:
        return _ask(lambda: self._store.replace(expected, text))

    def set_aside(self, text: str) -> str:
        return _ask(lambda: self._store.set_aside(text))

    @contextmanager
    def lock(self, timeout: float) -> Iterator[bool]:
        manager = self._store.lock(timeout)
        held = _ask(lambda: _call(manager.__aenter__), timeout + WAIT)
        try:
            yield held
        finally:
            _ask(lambda: _call(manager.__aexit__, None, None, None))


async def _call(method: Callable[..., Any], *arguments: object) -> Any:
    return await method(*arguments)


def _ask(make: Callable[[], Coroutine[Any, Any, Result]], seconds: float = WAIT) -> Result:
    loop = home.get()
    if loop is None:
        raise ConfigurationError("A store that is asked with `await` works for tasks only: use httpx's AsyncClient.")
    coroutine = make()
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise StoreError("The event loop has ended, and the token store with it.") from None
    try:
        return future.result(seconds)
    except FutureTimeout:
        future.cancel()
        raise StoreError(f"The token store has not answered in {seconds:.0f} s.") from None
    except CancelledError:
        raise StoreError("The token store was interrupted.") from None
