"""Where a guard learns from: the service, by two threads of this process. They know nothing of the guard."""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from keybearer.credentials.access_token import AccessToken
from keybearer.guard._errors import GuardError, GuardKeyRefused, ServiceUnreachable, WrongService
from keybearer.guard._feed import Follower
from keybearer.guard._introspection import Introspection
from keybearer.guard._keys import KeyKeeper
from keybearer.guard._knowledge import Knowledge
from keybearer.guard._limits import Limits
from keybearer.guard._metrics import FeedCounts, KeyCounts
from keybearer.guard._values import Credentials
from keybearer.outgoing.address import Address
from keybearer.outgoing.line import Line

log = logging.getLogger("keybearer.guard")

FIRST_WAIT = 5.0
"""Seconds that the first request waits for a guard that nobody has started."""

THREADS = "keybearer-guard-"

JOIN = 10.0
"""Seconds that `close` waits for a thread; none needs them but for a name server that does not answer."""


class Source(Protocol):
    """What a guard verifies by. `started`: false as long as the next request has to call `ensure_started`."""

    knowledge: Knowledge
    started: bool
    feed_counts: FeedCounts
    key_counts: KeyCounts

    def start(self, timeout: float) -> None:
        """Learn, and return once there is all that a decision takes. Raises GuardError."""

    def ensure_started(self) -> None:
        """Learn, and wait a little for the beginning. Raises nothing."""

    def close(self) -> None:
        """End everything, and wait for the end."""

    def stop(self) -> None:
        """As `close`, without waiting."""

    def is_behind_key_of(self, token: str) -> bool:
        """Whether this token was refused for a key that is still on its way here."""

    def introspect(self, credentials: Credentials) -> AccessToken:
        """The service's own word on these credentials. Raises the errors of the catalogue."""


class Service:
    """The running service, as a `Source`."""

    def __init__(
        self, address: Address, api_key: str, knowledge: Knowledge, limits: Limits, steady: Callable[[], int]
    ) -> None:
        self.knowledge = knowledge
        self.started = False
        self._address = address
        self._headers = {"Api-Key": api_key}
        self._limits = limits
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._problem: GuardError | None = None
        self._threads: list[threading.Thread] = []
        self._keeper = KeyKeeper(
            self._line({}), knowledge, limits, steady=steady, on_learned=self._learned, on_problem=self._note
        )
        self._follower = Follower(
            self._line(self._headers),
            knowledge,
            limits,
            steady=steady,
            on_learned=self._learned,
            on_problem=self._note,
        )
        self._introspection = Introspection(address, limits, steady)
        self.feed_counts = self._follower.counts
        self.key_counts = self._keeper.counts
        _sources.add(self)

    def start(self, timeout: float) -> None:
        with self._lock:
            self._launch()
            complete = self._await(timeout)
            self.started = True
        if not complete:
            self.close()
            raise self._problem or ServiceUnreachable(f"The service at {self._address} has not answered in time.")

    def ensure_started(self) -> None:
        with self._lock:
            if not self.started:
                self._launch()
                self._await(FIRST_WAIT)
                self.started = True

    def close(self) -> None:
        self.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(JOIN)
        self._threads = []

    def stop(self) -> None:
        """Let the threads end, without waiting for them; for a guard that nobody refers to any more."""
        self.started = True  # closed: a later request does not start it again
        self._follower.close()
        self._keeper.close()

    def is_behind_key_of(self, token: str) -> bool:
        return self._keeper.note_unknown(token) and self._keeper.is_behind()

    def introspect(self, credentials: Credentials) -> AccessToken:
        return self._introspection.ask(credentials)

    def forget_threads(self) -> None:
        """In the child of a fork: threads and locks are the parent's; what they have learned is here, and grows old."""
        self._lock = threading.Lock()
        self._news = threading.Event()
        self.knowledge.renew_lock()
        self._introspection.renew_lock()
        if self._threads:
            self._threads = []
            self.started = False

    def _launch(self) -> None:
        if self._threads:
            return
        self._problem = None
        self._follower.resume(self._line(self._headers))
        self._keeper.resume(self._line({}))
        for name, work in (("feed", self._follower.run), ("keys", self._keeper.run)):
            thread = threading.Thread(target=_keep_running, args=(work,), name=f"{THREADS}{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _await(self, seconds: float) -> bool:
        """Whether everything needed is there within this time; at once not when that cannot be hoped for."""
        end = time.monotonic() + seconds
        while not self.knowledge.is_complete():
            if isinstance(self._problem, GuardKeyRefused | WrongService):
                return False
            if not self._news.wait(end - time.monotonic()):
                return False
            self._news.clear()
        return True

    def _line(self, headers: dict[str, str]) -> Line:
        return Line(self._address, headers, connect_timeout=self._limits.connect_timeout)

    def _learned(self) -> None:
        self._keeper.want_version(self.knowledge.state.key_set_version)
        self._news.set()

    def _note(self, problem: GuardError) -> None:
        self._problem = problem
        self._news.set()


def _keep_running(work: Callable[[], None]) -> None:
    """A fault of ours is logged, and the work begun again; the state grows old meanwhile, as it must."""
    while True:
        try:
            work()
        except Exception:
            log.exception("following failed")
            time.sleep(1)
        else:
            return


_sources: WeakSet[Service] = WeakSet()


def _forget_threads() -> None:
    for source in _sources:
        source.forget_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
