"""`python -m tests.faults.stored_clients`: sessions held by the Python client, each in a file, by a thread of its own.

As `plain_clients`; but this process may be killed at any moment, and the next one goes on with what the files hold.
"""

import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from keybearer.client import Client, ClientError, FileStore, SessionExpired
from keybearer.client._outcomes import Granted, Outcome, Refused
from keybearer.client._record import Record, Session, parse
from keybearer.client._refresh import Refresher, Refreshes
from keybearer.errors import KeybearerError, ServiceError
from tests.faults.history import Journal, identity
from tests.faults.launcher import die
from tests.faults.orders import Orders, parse_orders
from tests.faults.wire import HOST
from tests.support.secret_scan import Ledger

LONGEST_GAP = 1.5
"""Seconds between two things that a client does."""


@dataclass(slots=True)
class Recorded:
    """The service as a client refreshes at it, with each question written down: what a client tries again is two, and
    the first of them may be answered last."""

    service: Refreshes
    journal: Journal
    ledger: Ledger
    user: str

    def refresh(self, record: Record) -> Outcome:
        """The client's key is the same until it is decided: the token that it refreshes names it."""
        session = record.session
        assert session is not None
        token = identity(session.refresh_token)
        key = f"{session.session_id}:{token[0]}"
        id = self.journal.ask("refresh", user=self.user, session=session.session_id, token=token, key=key)
        outcome = self.service.refresh(record)
        match outcome:
            case Granted(after):
                _note_credentials(self.ledger, after)
                self.journal.answer(id, 200, token=identity(after.refresh_token))
            case Refused(reason):
                self.journal.answer(id, 401, code=reason or "")
        return outcome


@dataclass(slots=True)
class Keeper:
    """One user's client. A new one is made of the same file whenever the service could not be asked: as a program that
    is started again does, it tries at once."""

    orders: Orders
    journal: Journal
    ledger: Ledger
    chance: Random
    user: str
    store: FileStore
    stopping: threading.Event
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self._start_again()

    def live(self) -> None:
        while not self.stopping.wait(self.chance.uniform(0, LONGEST_GAP)):
            session = self._session()
            if session is None:
                self._log_in()
            elif self.chance.random() < 0.03:
                self._log_out(session)
            else:
                self._refresh()
        while not self._is_settled():
            time.sleep(0.2)

    def _is_settled(self) -> bool:
        """Once the last refresh is decided."""
        return self._session() is None or self._refresh()

    def _log_in(self) -> None:
        try:
            self.client.login(self.orders.users[self.user], self.orders.password)
        except KeybearerError:
            self._start_again()
            return
        session = self._session()
        assert session is not None
        _note_credentials(self.ledger, session)
        id = self.journal.ask("login", user=self.user)
        self.journal.answer(id, 200, session=session.session_id, token=identity(session.refresh_token))

    def _refresh(self) -> bool:
        """Whether it was decided."""
        try:
            self.client.refresh()
        except SessionExpired:
            return True
        except ClientError:
            self._start_again()
            if self.chance.random() < 0.5:
                time.sleep(self.orders.window + self.chance.uniform(0.1, 1))
            return False
        return True

    def _log_out(self, session: Session) -> None:
        token = identity(session.refresh_token)
        id = self.journal.ask("logout", user=self.user, session=session.session_id, token=token)
        try:
            outcome = self.client.logout()
        except (ClientError, ServiceError):
            self._start_again()
            return
        if outcome != "unreachable":
            self.journal.answer(id, 200 if outcome == "revoked" else 401)

    def _session(self) -> Session | None:
        text = self.store.read()
        return parse(text).session if text is not None else None

    def _start_again(self) -> None:
        base_url = f"http://{HOST}:{self.orders.front}/v1/api"
        self.client = Client(base_url, api_key=self.orders.api_key, store=self.store)
        core = self.client._core
        core.refresher = Refresher(core.vault, Recorded(core, self.journal, self.ledger, self.user), core.surroundings)


def _note_credentials(ledger: Ledger, session: Session) -> None:
    ledger.note("refresh token", session.refresh_token)
    ledger.note("access token", session.access_token)


def run(orders: Orders) -> None:
    journal, ledger = Journal(orders.history), Ledger(orders.ledger)
    stopping, chance = threading.Event(), Random(orders.seed)
    users = list(orders.users)
    threads = []
    for number in range(orders.sessions):
        store = FileStore(Path(orders.directory) / f"session-{number}.json")
        user = users[number % len(users)]
        keeper = Keeper(orders, journal, ledger, Random(chance.random()), user, store, stopping)
        threads.append(threading.Thread(target=keeper.live))
    for thread in threads:
        thread.start()
    if not sys.stdin.readline():
        die()
    stopping.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    run(parse_orders(sys.stdin.readline()))
