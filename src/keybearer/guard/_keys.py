"""The key set of the service, kept in a thread of its own (clients.md G2)."""

import logging
import re
import threading
from collections.abc import Callable

from keybearer.guard._errors import GuardError, ServiceUnreachable
from keybearer.guard._knowledge import Knowledge
from keybearer.guard._limits import Limits
from keybearer.guard._metrics import KeyCounts
from keybearer.jose.errors import InvalidJws, InvalidKey
from keybearer.jose.header import parse_header
from keybearer.jose.key_set import KeySet
from keybearer.outgoing.line import Answer, Closed, Line, Unreachable
from keybearer.strict_json import StrictJsonError, loads

log = logging.getLogger("keybearer.guard")

DEFAULT_MAX_AGE = 300
SHORTEST_MAX_AGE, LONGEST_MAX_AGE = 30, 3600
REFRESH_AT = 0.8
"""Of the time that the service lets the set be kept."""

SECOND_LOOK = 2.0
"""Seconds after the first answer with a new version: the replica that answered may not have had it yet."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])")


class KeyKeeper:
    """Fetches the set when it is due, when the feed says that there is another version, and, seldom, for unknown keys.

    No lock is held while the service is asked: known keys verify meanwhile, for a bounded time when it does not answer.
    """

    def __init__(
        self,
        line: Line,
        knowledge: Knowledge,
        limits: Limits,
        *,
        steady: Callable[[], int],
        on_learned: Callable[[], None],
        on_problem: Callable[[GuardError], None],
    ) -> None:
        self._line = line
        self._knowledge = knowledge
        self._limits = limits
        self._steady = steady
        self._on_learned = on_learned
        self._on_problem = on_problem
        self._changed = threading.Condition()
        self._closed = False
        self._wanted_version = 0
        self._loaded_version = 0
        self._due = self._seconds()
        self._last_good: float | None = None
        self._last_unknown: float | None = None
        self._failures = 0
        self.counts = KeyCounts()

    def is_behind(self) -> bool:
        """Whether the service has a version of the set that is not here yet."""
        return self._loaded_version < self._wanted_version

    def want_version(self, version: int) -> None:
        """Fetch at once when this is another version than it was; a lower one belongs to another epoch."""
        with self._changed:
            if version != self._wanted_version:
                self._wanted_version = version
                self._loaded_version = min(self._loaded_version, version - 1)
                self._due = self._seconds()
                self._changed.notify()

    def note_unknown(self, token: str) -> bool:
        """Whether a token that was refused names a key that is not here; if so the set is fetched, unless it was for
        such a token within `unknown_key_interval`."""
        if not self._names_unknown_key(token):
            return False
        now = self._seconds()
        with self._changed:
            if self._last_unknown is None or now - self._last_unknown >= self._limits.unknown_key_interval:
                self._last_unknown = now
                self._due = now
                self._changed.notify()
        return True

    def run(self) -> None:
        """Until `close`, or until another thread has taken over."""
        line = self._line
        while self._wait() and self._line is line:
            self._fetch()

    def resume(self, line: Line) -> None:
        """In the child of a fork, and after `close`: go on, on connections of its own."""
        self._line.abandon()
        self._line = line
        self._changed = threading.Condition()
        self._closed = False

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._line.close()

    def _wait(self) -> bool:
        """Sleep until the next fetch is due. False after `close`."""
        with self._changed:
            while not self._closed:
                pause = self._due - self._seconds()
                if pause <= 0:
                    return True
                self._changed.wait(pause)
            return False

    def _fetch(self) -> None:
        version = self._wanted_version
        self.counts.fetches += 1
        try:
            with self._line.get(
                self._line.address.jwks, {"Cache-Control": "no-cache"}, silence=self._limits.answer_timeout
            ) as answer:
                keys, max_age = self._read(answer)
        except Closed:
            return
        except (Unreachable, InvalidKey, StrictJsonError) as error:
            self._fail(str(error))
            return
        self._failures = 0
        self._last_good = self._seconds()
        is_new = version > self._loaded_version
        self._loaded_version = version
        self._knowledge.use_keys(keys)
        self._set_due(SECOND_LOOK if is_new else REFRESH_AT * max_age)
        self._on_learned()

    def _read(self, answer: Answer) -> tuple[KeySet, int]:
        if answer.status != 200:
            raise Unreachable(f"status {answer.status}")
        body = answer.read(self._steady, max_bytes=self._limits.keys_bytes, seconds=self._limits.keys_seconds)
        jwks = loads(body)
        if not isinstance(jwks, dict):
            raise InvalidKey("not a key set")
        keys = KeySet.from_jwks(jwks)
        if not keys.to_jwks()["keys"]:
            raise InvalidKey("a key set without a key")
        return keys, _max_age(answer.header("cache-control"))

    def _fail(self, reason: str) -> None:
        """Known keys go on until their time is over, then there are none."""
        self.counts.failures += 1
        self._failures += 1
        log.warning("the key set was not taken: %s", reason)
        self._on_problem(
            ServiceUnreachable(f"The service has no usable key set at {self._line.address.jwks}: {reason}.")
        )
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE)
        now = self._seconds()
        if self._last_good is not None:
            left = self._last_good + self._limits.keys_lifetime - now
            if left <= 0:
                self._last_good = None
                self._knowledge.use_keys(None)
                log.error("the keys are too old to be trusted; nothing is accepted until the service answers")
            else:
                pause = min(pause, left)
        self._set_due(pause)

    def _set_due(self, seconds: float) -> None:
        with self._changed:
            if not self.is_behind() or self._failures:
                self._due = self._seconds() + seconds

    def _names_unknown_key(self, token: str) -> bool:
        keys = self._knowledge.keys
        if keys is None:
            return False
        try:
            header = parse_header(token.partition(".")[0])
        except InvalidJws:
            return False
        return keys.find_key(header.kid) is None

    def _seconds(self) -> float:
        return self._steady() / 1e9


def _max_age(cache_control: str) -> int:
    found = _MAX_AGE.search(cache_control)
    return DEFAULT_MAX_AGE if found is None else max(SHORTEST_MAX_AGE, min(int(found[1]), LONGEST_MAX_AGE))
