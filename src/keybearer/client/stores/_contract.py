"""What a store fulfils. A client calls it from its own threads, one call at a time for each of them."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, runtime_checkable


@runtime_checkable
class TokenStore(Protocol):
    """Any exception of these methods reaches the user as a StoreError."""

    def read(self) -> str | None:
        """The text as it was written last; None when there is none."""

    def replace(self, expected: str | None, text: str) -> bool:
        """Write `text` if what is stored is `expected` still, in one step that no other writer can come between.

        False, and nothing written, if it is not. When this returns, the text outlives the process.
        """
        raise NotImplementedError

    def set_aside(self, text: str) -> str:
        """Remove `text`, which no client can read, and say where it is now. Nothing if it is not stored any more."""
        raise NotImplementedError

    def lock(self, timeout: float) -> AbstractContextManager[bool]:
        """For the time of a refresh: keeps out others who ask for it. True when it is held; False after `timeout`
        seconds. `read` and `replace` work without it."""
        raise NotImplementedError


@runtime_checkable
class AsyncTokenStore(Protocol):
    """As TokenStore. The methods run on the event loop of the task whose request has led to the call."""

    async def read(self) -> str | None:
        """As TokenStore.read."""

    async def replace(self, expected: str | None, text: str) -> bool:
        """As TokenStore.replace."""
        raise NotImplementedError

    async def set_aside(self, text: str) -> str:
        """As TokenStore.set_aside."""
        raise NotImplementedError

    def lock(self, timeout: float) -> AbstractAsyncContextManager[bool]:
        """As TokenStore.lock."""
        raise NotImplementedError
