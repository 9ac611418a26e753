"""Judges histories: the targets of a run, each with the operations that miss it.

lost        a client that was not revoked was answered 401
branches    two tokens at one place of a session's chain: two successors of one token
alive       something was answered in a session after its revocation had been answered 200
unfit       the history of a session fits no order of the state machine of contract.md section 3
unexpected  an answer that no fault explains
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.history import NEVER, Answered, Asked, Operation, Record, Token, operations_of
from tests.faults.linear import Unfit, find_misfit
from tests.faults.storage_clock import SLACK, StorageClock

TARGETS = ("lost", "branches", "alive", "unfit", "unexpected")

_EXPECTED = {
    "login": {200, 403, 429, 503},
    "refresh": {200, 401, 429, 503},
    "info": {200, 401, 503},
    "logout": {200, 401, 503},
    "disable": {200},
}
"""403: the user is disabled."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`window` and `staleness` are settings of the service, in seconds."""

    window: int
    staleness: int


@dataclass(frozen=True, slots=True)
class Violation:
    target: str
    session: str
    what: str


@dataclass(slots=True)
class Verdict:
    """What a history shows. `latest_yes` is how long after a revocation an access token was accepted, in ms."""

    violations: list[Violation] = field(default_factory=list)
    operations: int = 0
    unanswered: int = 0
    refreshes: int = 0
    moves: int = 0
    sessions: int = 0
    revoked: int = 0
    latest_yes: int = 0

    def count(self, target: str) -> int:
        return sum(violation.target == target for violation in self.violations)


@dataclass(slots=True)
class _Chain:
    """One session: its operations in the order of their questions, and the disablings of its user that concern it."""

    id: str
    user: str
    operations: list[Operation]
    disablings: list[Operation]

    @property
    def start(self) -> Token | None:
        """The token of the login, or where its answer was not written down, the first that was presented."""
        for operation in self.operations:
            if operation.kind == "login":
                return operation.granted
            if operation.asked.token is not None:
                return operation.asked.token
        return None

    @property
    def revocations(self) -> list[Operation]:
        return [*(operation for operation in self.operations if operation.kind == "logout"), *self.disablings]

    def granted(self) -> Iterable[tuple[Operation, Token]]:
        for operation in self.operations:
            if operation.granted is not None:
                yield operation, operation.granted


def check(records: Iterable[Record], rules: Rules) -> Verdict:
    """The verdict on a whole history."""
    records = list(records)
    operations, clock = operations_of(records), StorageClock.of(records)
    verdict = Verdict(operations=len(operations), unanswered=sum(o.answered is None for o in operations))
    verdict.refreshes = sum(o.kind == "refresh" and o.status == 200 for o in operations)
    verdict.violations += [
        Violation("unexpected", o.session, f"{o.kind} was answered {o.status} {o.code}")
        for o in operations
        if o.answered is not None and o.status not in _EXPECTED[o.kind]
    ]
    for chain in _chains(operations, clock):
        verdict.sessions += 1
        _check_chain(chain, rules, clock, verdict)
    return verdict


def _chains(operations: Sequence[Operation], clock: StorageClock) -> list[_Chain]:
    of_session: dict[str, list[Operation]] = defaultdict(list)
    disablings: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.kind == "disable":
            disablings[operation.asked.user].append(operation)
        elif operation.session:
            of_session[operation.session].append(operation)
    return [
        _Chain(id, found[0].asked.user, found, _concerning(found, disablings, clock))
        for id, found in of_session.items()
    ]


def _concerning(
    found: Sequence[Operation], disablings: Mapping[str, Sequence[Operation]], clock: StorageClock
) -> list[Operation]:
    """The disablings of the user that had not ended when the session began: nobody logs in between one and the next
    enabling."""
    first = found[0]
    token = first.granted or first.asked.token
    began = clock.when(token[1], first.ended) if token is not None else first.began
    return [disabling for disabling in disablings.get(first.asked.user, ()) if disabling.ended >= began]


def _check_chain(chain: _Chain, rules: Rules, clock: StorageClock, verdict: Verdict) -> None:
    granted = {token for _, token in chain.granted()}
    verdict.moves += len({place for place, _ in granted} - {0})
    verdict.revoked += any(o.status == 200 for o in chain.revocations)
    verdict.violations += _lost(chain)
    verdict.violations += _branches(chain)
    verdict.violations += _alive(chain, rules, verdict)
    if chain.start is not None:
        misfit = find_misfit(chain.start, [*chain.operations, *chain.disablings], rules.window, clock)
        if misfit is not None:
            verdict.violations.append(Violation("unfit", chain.id, _tell(misfit)))


def _lost(chain: _Chain) -> list[Violation]:
    """A 401 to a refresh, or to an access token as revoked, before anybody has asked for a revocation."""
    asked = min((revocation.began for revocation in chain.revocations), default=NEVER)
    return [
        Violation("lost", chain.id, f"{o.kind} at {o.asked.token} was answered {o.status} {o.code}")
        for o in chain.operations
        if o.status == 401
        and o.ended < asked
        and (o.kind == "refresh" or o.code in ("access_token_revoked", "access_token_invalid"))
    ]


def _branches(chain: _Chain) -> list[Violation]:
    places: dict[int, set[Token]] = defaultdict(set)
    for _, token in chain.granted():
        places[token[0]].add(token)
    return [
        Violation("branches", chain.id, f"place {place} has the tokens {sorted(tokens)}")
        for place, tokens in places.items()
        if len(tokens) > 1
    ]


def _alive(chain: _Chain, rules: Rules, verdict: Verdict) -> list[Violation]:
    """After a revocation no refresh is answered. An access token is not accepted where the revocation was answered, nor
    anywhere else by a process that has lost sight of the revocations for longer than it may."""
    found = []
    ends = [revocation for revocation in chain.revocations if revocation.status == 200]
    for operation in chain.operations:
        over = [end for end in ends if end.ended < operation.began]
        if operation.status != 200 or not over or operation.kind not in ("refresh", "info"):
            continue
        late = operation.began - min(end.ended for end in over)
        where = operation.asked.where
        if operation.kind == "info":
            verdict.latest_yes = max(verdict.latest_yes, late)
            at_the_same = where >= 0 and any(end.asked.where == where for end in over)
            if not at_the_same and late <= rules.staleness * 1000 + SLACK:
                continue
        found.append(Violation("alive", chain.id, f"{operation.kind} was answered 200, {late} ms after a revocation"))
    return found


def _tell(misfit: Unfit) -> str:
    operation = misfit.operation
    return (
        f"{operation.kind} of {operation.asked.token}, answered {operation.status} {operation.code} "
        f"{operation.granted or ''}, fits nowhere after {misfit.placed} operations"
    )


@dataclass(slots=True)
class Watch:
    """The same figures while a run goes on, as far as they can be had from what is there."""

    logins: int = 0
    refreshes: int = 0
    lost: int = 0
    branches: int = 0
    _asked: dict[str, Asked] = field(default_factory=dict)
    _places: dict[tuple[str, int], Token] = field(default_factory=dict)
    _revoked: set[str] = field(default_factory=set)

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            match record:
                case Asked():
                    self._ask(record)
                case Answered(id) if id in self._asked:
                    self._answer(self._asked.pop(id), record)

    def _answer(self, asked: Asked, answered: Answered) -> None:
        self.logins += asked.kind == "login" and answered.status == 200
        if asked.kind != "refresh":
            return
        if answered.token is not None:
            self.refreshes += 1
            known = self._places.setdefault((asked.session, answered.token[0]), answered.token)
            self.branches += known != answered.token
        elif answered.status == 401:
            self.lost += self._revoked.isdisjoint((asked.session, asked.user))

    def _ask(self, asked: Asked) -> None:
        self._asked[asked.id] = asked
        if asked.kind in ("logout", "disable"):
            self._revoked.add(asked.session or asked.user)
