"""What happens to one request of the user (contract.md R6): written once, without I/O.

`exchange` yields steps, and is sent what they lead to. Each transport takes the steps in its own way; all that is
decided is decided here.
"""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from keybearer.client._bodies import Body
from keybearer.client._calls import Credentials
from keybearer.client._errors import ApiKeyRejected, NonReplayableBody, SessionExpired
from keybearer.client._record import Record, Session


class Load(Enum):
    """Read the store. Leads to the Record."""

    STEP = 1


class Examine(Enum):
    """Look at the answer of the last Send, whose status was 401 or 403. Leads to an Examined."""

    STEP = 1


@dataclass(frozen=True, slots=True)
class Refresh:
    """Get newer tokens than those of `record`. Leads to a Record, or raises. `proactive`: before they are refused;
    leads to the same record where that is in vain and they still hold."""

    record: Record
    proactive: bool


class Send(NamedTuple):
    """Send the request. Leads to the status of the answer. `again`: a second time, marked with `_retry`."""

    credentials: Credentials
    again: bool = False


Step = Load | Examine | Refresh | Send


@dataclass(frozen=True, slots=True)
class Examined:
    """`eligible`: the request that was refused carried our access token, and has not been retried. `code` is what the
    answer to a request with our Api-Key says in the words of the contract. `body` is that of the request."""

    eligible: bool
    code: str | None
    body: Body


class Knowledge(Protocol):
    """What the protocol asks without leaving the process."""

    @property
    def known(self) -> Record | None:
        """The record; None before the store was read."""

    @property
    def key_only(self) -> Credentials: ...

    def credentials_of(self, session: Session) -> Credentials: ...

    def is_near_end(self, session: Session) -> bool:
        """Whether its access token should be replaced before it meets a body that cannot be sent twice."""


Exchange = Generator[Step, Any, None]

_REFUSALS: Final = (401, 403)


def exchange(knowledge: Knowledge, body: Body, *, takes_token: bool) -> Exchange:
    """The steps of one request to a listed origin. `takes_token`: the caller has brought no authorization of their own,
    and it is not a request for tokens.

    Raises ApiKeyRejected, SessionExpired and NonReplayableBody; the Refresh of a transport raises RefreshUnavailable
    and the other errors of a refresh.
    """
    record: Record = knowledge.known or (yield Load.STEP)
    if takes_token and record.session is not None and not body.in_memory and knowledge.is_near_end(record.session):
        record = yield Refresh(record, proactive=True)
    session = record.session if takes_token else None
    status: int = yield Send(knowledge.key_only if session is None else knowledge.credentials_of(session))
    if status not in _REFUSALS:
        return
    examined: Examined = yield Examine.STEP
    _require_admitted_key(status, examined)
    if status != 401 or session is None or not examined.eligible:
        return
    known = knowledge.known or record
    if known.session == session:
        known = yield Refresh(record, proactive=False)
    if known.session is None or known.generation != record.generation:
        _require_not_expired(record, known)
        return  # logged out, or somebody else now: the answer stands
    if not examined.body.rewind():
        raise NonReplayableBody
    status = yield Send(knowledge.credentials_of(known.session), again=True)
    if status == 403:
        _require_admitted_key(status, (yield Examine.STEP))


def _require_admitted_key(status: int, examined: Examined) -> None:
    if status == 403 and examined.code is not None and examined.code.startswith("api_key_"):
        raise ApiKeyRejected(reason=examined.code)


def _require_not_expired(record: Record, known: Record) -> None:
    """Of requests that met the end of their session, the late ones hear of it as the first one did."""
    if known.ended == "expired" and known.generation == record.generation + 1:
        raise SessionExpired
