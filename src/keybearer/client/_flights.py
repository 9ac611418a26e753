"""Work that many wait for, in threads and on event loops, and that no one of them can end.

It runs in a thread of its own: so a cancelled task, a closed loop or an interrupted thread takes it from nobody, and
nothing that blocks is ever done on a loop. Those who wait get a value, or an error of their own.
"""

import copy
import sys
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from keybearer.client._errors import ClientError
from keybearer.client._forks import renew_after_fork

if TYPE_CHECKING:
    import asyncio

WAIT: Final = 60.0
"""Seconds; more than any work takes, but for name resolution that hangs."""

THREADS: Final = "keybearer-client"

home: ContextVar["asyncio.AbstractEventLoop | None"] = ContextVar("keybearer_client_home", default=None)
"""The event loop of the task for which a thread works; None when it is no task."""

Result = TypeVar("Result")


class Flight(Generic[Result]):
    """`key` tells it from other work. `unavailable` is what those who wait raise when it takes too long, or cannot even
    begin."""

    __slots__ = ("_landed", "_lock", "_result", "_unavailable", "_waiters", "key")

    def __init__(self, key: Hashable, unavailable: type[ClientError]) -> None:
        self.key = key
        self._unavailable = unavailable
        self._lock = threading.Lock()
        self._landed = threading.Event()
        self._waiters: list[Callable[[], object]] = []
        self._result: Result | BaseException | None = None

    def start(self, work: Callable[[], Result], ended: Callable[["Flight[Result]"], None]) -> None:
        """Do it, in the context of the caller. `ended` is called before anyone hears of the end."""
        context = copy_context()
        context.run(home.set, _running_loop())

        def run() -> None:
            result: Result | BaseException
            try:
                result = context.run(work)
            except BaseException as error:  # noqa: BLE001 - those who wait raise it
                result = error
            ended(self)
            self._land(result)

        try:
            threading.Thread(target=run, name=THREADS, daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter ends
            ended(self)
            self._land(self._unavailable("No thread can be started for it."))

    def wait(self) -> Result:
        """What it has led to."""
        self._landed.wait(WAIT)
        return self._outcome()

    def settle(self) -> None:
        """Wait for its end, whatever that is."""
        self._landed.wait(WAIT)

    async def join(self) -> Result:
        """As `wait`, for a task. Cancelling it ends nothing but the waiting."""
        import asyncio  # noqa: PLC0415 - who comes here has imported it

        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(_finish, waiter)

        self._call_at_end(wake)
        with suppress(TimeoutError):
            await asyncio.wait_for(waiter, WAIT)
        return self._outcome()

    def _call_at_end(self, waiter: Callable[[], object]) -> None:
        with self._lock:
            if not self._landed.is_set():
                self._waiters.append(waiter)
                return
        waiter()

    def _land(self, result: Result | BaseException) -> None:
        self._result = result
        with self._lock:
            self._landed.set()
        for wake in self._waiters:
            wake()

    def _outcome(self) -> Result:
        if not self._landed.is_set():
            raise self._unavailable(f"There was no answer in {WAIT:.0f} s.")
        result = self._result
        if isinstance(result, BaseException):
            raise copy.copy(result) from result.__cause__
        return result  # type: ignore[return-value]  # it has landed


def _running_loop() -> "asyncio.AbstractEventLoop | None":
    """There is none where nobody has imported asyncio."""
    module = sys.modules.get("asyncio")
    return module._get_running_loop() if module is not None else None  # noqa: SLF001 - in its `__all__`


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


class Flights(Generic[Result]):
    """At most one flight at a time for each key."""

    __slots__ = ("__weakref__", "_lock", "_open")

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Hashable, Flight[Result]] = {}

    def join(self, key: Hashable, work: Callable[[], Result], unavailable: type[ClientError]) -> Flight[Result]:
        """The flight under way for this key, or a new one that does `work`."""
        with self._lock:
            flight = self._open.get(key)
            if flight is not None:
                return flight
            flight = self._open[key] = Flight(key, unavailable)
        flight.start(work, self._close)
        return flight

    def under_way(self) -> list[Flight[Result]]:
        with self._lock:
            return list(self._open.values())

    def _close(self, flight: Flight[Result]) -> None:
        with self._lock:
            if self._open.get(flight.key) is flight:
                del self._open[flight.key]
