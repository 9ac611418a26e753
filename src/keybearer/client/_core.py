"""What all transports and both clients share: where credentials may go, what is known, and one refresh at a time."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from keybearer.client._calls import Credentials, make_credentials
from keybearer.client._errors import ClientError, RefreshUnavailable, StoreError
from keybearer.client._flights import Flight, Flights
from keybearer.client._origins import Origins
from keybearer.client._record import Record, Session
from keybearer.client._refresh import Refresher
from keybearer.client._secret import SecretText
from keybearer.client._surroundings import Surroundings
from keybearer.client._vault import Vault
from keybearer.client.stores._contract import TokenStore

if TYPE_CHECKING:
    from keybearer.client._outcomes import Outcome
    from keybearer.client._service import Service

MAX_DOCUMENT: Final = 65_536
"""Bytes."""

LONGEST_MARGIN: Final = 60.0
SHARE_OF_LIFETIME: Final = 0.2
"""A token is near its end in its last 20 %, or 60 s if that is less."""


class Core:
    __slots__ = (
        "_credentials",
        "_flights",
        "_service",
        "_store",
        "api_key",
        "key_only",
        "origins",
        "refresher",
        "surroundings",
        "vault",
    )

    def __init__(self, origins: Origins, api_key: SecretText, store: TokenStore, surroundings: Surroundings) -> None:
        self.origins = origins
        self.api_key = api_key
        self.surroundings = surroundings
        self.vault = Vault(store, str(origins.address))
        self._store = store
        self.refresher = Refresher(self.vault, self, surroundings)
        self.key_only = make_credentials(api_key)
        self._credentials: tuple[Session, Credentials] | None = None
        self._flights: Flights[Record] = Flights()
        self._service: Service | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return Core, (self.origins, self.api_key, self._store, self.surroundings)

    @property
    def known(self) -> Record | None:
        return self.vault.record

    @property
    def service(self) -> "Service":
        """Made at the first request to it: what it needs takes longer to import than all else here."""
        if self._service is None:
            from keybearer.client._service import Service  # noqa: PLC0415

            self._service = Service(self.origins.address, self.key_only, self.surroundings.now)
        return self._service

    def credentials_of(self, session: Session) -> Credentials:
        """The last ones are remembered."""
        last = self._credentials
        if last is not None and last[0] is session:
            return last[1]
        made = make_credentials(self.api_key, session.access_token)
        self._credentials = session, made
        return made

    def is_near_end(self, session: Session) -> bool:
        margin = min(LONGEST_MARGIN, SHARE_OF_LIFETIME * session.lifetime)
        return session.expires_at - self.surroundings.now() < margin

    def may_be_document(self, content_type: str, length: str) -> bool:
        """Whether to read an answer of this kind for a code of the contract; a long or strange one is left alone."""
        return "json" in content_type and length.isdigit() and int(length) <= MAX_DOCUMENT

    def code_of(self, body: bytes) -> str | None:
        from keybearer.client._service import code_of  # noqa: PLC0415 - as above

        return code_of(body)

    def refresh(self, record: Record) -> "Outcome":
        return self.service.refresh(record)

    def settle(self) -> None:
        """Wait until nothing is under way."""
        for flight in self._flights.under_way():
            flight.settle()

    def loading(self) -> Flight[Record]:
        """The store, read in a thread."""
        return self._flights.join("load", self.vault.load, StoreError)

    def refreshing(self, record: Record, *, proactive: bool) -> Flight[Record]:
        """The one refresh of these tokens."""
        key: Hashable = (record.generation, record.session, proactive)
        refresh = self._refresh_early if proactive else self._refresh
        return self._flights.join(key, lambda: refresh(record), RefreshUnavailable)

    def _refresh(self, record: Record) -> Record:
        return self.refresher.refresh(record, proactive=False)

    def _refresh_early(self, record: Record) -> Record:
        try:
            return self.refresher.refresh(record, proactive=True)
        except ClientError:
            if record.session is None or record.session.expires_at <= self.surroundings.now():
                raise
            return record
