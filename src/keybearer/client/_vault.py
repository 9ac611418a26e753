"""The session as this process knows it and as its store has it: the newer one counts, and no failing store ends it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final, ParamSpec, TypeVar
from warnings import warn

from keybearer.client._errors import ClientError, ConfigurationError, StoreError, StoreWarning
from keybearer.client._forks import renew_after_fork
from keybearer.client._record import CorruptRecord, Ended, Record, Session, dump, parse
from keybearer.client.stores._contract import TokenStore

_TRIES: Final = 1000
"""How often a write begins anew because another process has written meanwhile."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Vault:
    """`record` is what is known without asking the store; None before the first `load`.

    The lock is held for a comparison and an assignment, never while a store is asked.
    """

    __slots__ = ("__weakref__", "_lock", "_noted", "_service", "_store", "record")

    def __init__(self, store: TokenStore, service: str) -> None:
        self._store = store
        self._service = service
        self._noted: str | None = None
        self.record: Record | None = None
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        self._lock = threading.Lock()

    def load(self) -> Record:
        """The record, from the store at first. Raises StoreError."""
        return self.record or self.latest()

    def latest(self) -> Record:
        """The newer one of what is stored and what is known. Raises StoreError when neither can be told."""
        try:
            return self.adopt(self._read()[1])
        except StoreError as error:
            if self.record is None:
                raise
            self._note(error)
            return self.record

    def adopt(self, record: Record) -> Record:
        """What is known from now on: `record`, unless something newer is."""
        with self._lock:
            if self.record is None or _is_newer(record, self.record):
                self.record = record
            return self.record

    def begin(self, session: Session) -> None:
        """A login. Raises StoreError when it is known in this process only."""
        known = self.record.generation if self.record else 0
        made = Record(self._service, known + 1, session=session)
        try:
            made = self._change(lambda stored: replace(made, generation=max(stored.generation, known) + 1))
        finally:
            self.adopt(made)

    def log_out(self, record: Record) -> None:
        """The end of this login, here at once. Raises StoreError when the store has it still."""
        self.adopt(ended := self._ended(record, "logout"))

        def decide(stored: Record) -> Record | None:
            return ended if stored.generation <= record.generation else None

        self.adopt(self._change(decide))

    def expire(self, record: Record) -> Record:
        """The service has refused to refresh this record. What is known afterwards: maybe a newer one."""
        return self._supersede(record, self._ended(record, "expired"))

    def advance(self, record: Record, session: Session) -> Record:
        """The answer to a refresh of this record. What is known afterwards: the end of that login, if there was one."""
        known = self.record
        if known is not None and known.generation != record.generation:
            return known
        # While the token is repeated, an older question with this key may be on its way, and move the chain unheard.
        key = record.idempotency_key if _is_repeated(record.session, session) else None
        return self._supersede(
            record, replace(record, revision=record.revision + 1, idempotency_key=key, session=session)
        )

    def keep_key(self, record: Record, idempotency_key: str) -> Record:
        """The record with a key for its refresh, stored before anything is sent: its own, if it has one already."""
        if record.idempotency_key is not None:
            return record
        return self._supersede(record, replace(record, idempotency_key=idempotency_key))

    @contextmanager
    def exclusive(self, timeout: float) -> Iterator[None]:
        """Keeps other processes from refreshing, for `timeout` seconds at most; then, and without a lock that works,
        both refresh, which the service makes safe."""
        with ExitStack() as stack:
            try:
                self._ask(lambda: stack.enter_context(self._store.lock(timeout)))
            except StoreError as error:
                self._note(error)
            yield

    def _supersede(self, record: Record, new: Record) -> Record:
        """Store `new` in the place of `record`, unless that is history. In memory alone where the store fails."""

        def decide(stored: Record) -> Record | None:
            return None if _is_newer(stored, record) else new

        try:
            return self.adopt(self._change(decide))
        except StoreError as error:
            self._note(error)
            return self.adopt(new)

    def _ended(self, record: Record, how: Ended) -> Record:
        return Record(self._service, record.generation + 1, ended=how)

    def _change(self, decide: Callable[[Record], Record | None]) -> Record:
        """Store what `decide` makes of what is stored, and return it; what is stored, when it makes nothing of it."""
        for _ in range(_TRIES):
            text, stored = self._read()
            new = decide(stored)
            if new is None:
                return stored
            if self._ask(self._store.replace, text, dump(new)):
                self._noted = None
                return new
        raise StoreError("The store is written to without end by others.")

    def _read(self) -> tuple[str | None, Record]:
        text = self._ask(self._store.read)
        if text is None:
            return None, Record(self._service)
        try:
            record = parse(text)
        except CorruptRecord as error:
            where = self._ask(self._store.set_aside, text)
            warn(f"The stored session cannot be read ({error}); {where}. Log in again.", StoreWarning, stacklevel=2)
            return self._read()
        if record.service != self._service:
            raise ConfigurationError(
                f"The store holds a session of {record.service}, and this client is one of {self._service}: give each "
                "a store of its own."
            )
        return text, record

    def _ask(self, method: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """What the store says. Whatever it raises is a StoreError."""
        try:
            return method(*args, **kwargs)
        except ClientError:
            raise
        except Exception as error:
            raise StoreError(f"The token store failed: {type(error).__name__}.") from error

    def _note(self, error: StoreError) -> None:
        import logging  # noqa: PLC0415 - takes a tenth of the import of this package, and is seldom needed

        if error.detail != self._noted:
            self._noted = error.detail
            logging.getLogger("keybearer.client").warning("%s The session goes on in this process.", error.detail)


def _is_repeated(before: Session | None, after: Session) -> bool:
    """Whether the service has answered the refresh token that it was asked with."""
    from hmac import compare_digest  # noqa: PLC0415 - imports hashlib

    return before is not None and compare_digest(before.refresh_token, after.refresh_token)


def _is_newer(record: Record, known: Record) -> bool:
    """Of the same age are two answers to one refresh, or one record with a key and without."""
    if record.age != known.age:
        return record.age > known.age
    return record.session != known.session or (record.idempotency_key is not None and known.idempotency_key is None)
