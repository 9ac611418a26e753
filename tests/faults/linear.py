"""Whether the history of one session fits contract.md section 3: is there an order of its operations, each at one
moment between question and answer, in which the model (tests/support/model.py) gives the answers that were given?

The search is the one of Wing and Gong, with Lowe's memory of what was tried. An operation of which nobody knows may
have taken effect at any moment after its question, or never.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from keybearer.server.domain.sessions import SessionPolicy
from tests.faults.history import NEVER, Operation, Token
from tests.faults.storage_clock import StorageClock
from tests.support.model import ApplicationModel, SessionModel, UserModel

_GONE = frozenset({"session_revoked", "refresh_token_invalid"})
"""How a refresh in a session that has ended is answered; the second, once its row has been removed."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """No order fits. `operation` is the one that the best attempt could not place."""

    operation: Operation
    placed: int


def find_misfit(start: Token, operations: Sequence[Operation], window: int, clock: StorageClock) -> Unfit | None:
    """None when the history fits. `start` is the token of the login, `window` the retry window in seconds."""
    return _Search(start, [o for o in operations if o.kind in ("refresh", "logout", "disable")], window, clock).run()


_Node = tuple[int, SessionModel]
"""Which of the decided operations are placed (a bit for each), and the session as it is then.

The others need no bit: one of them that moves the chain finds its token current only once, and whichever of them ends
the session, it has ended."""


class _Search:
    def __init__(self, start: Token, operations: Sequence[Operation], window: int, clock: StorageClock) -> None:
        self._clock = clock
        in_order = sorted(operations, key=lambda operation: operation.began)
        self._decided = [operation for operation in in_order if operation.decided]
        self._undecided = [operation for operation in in_order if not operation.decided]
        self._presenting: dict[Token | None, list[Operation]] = defaultdict(list)
        for operation in self._undecided:
            if operation.kind == "refresh":
                self._presenting[operation.asked.token].append(operation)
        self._moves = {o.granted[0]: o.granted[1] for o in in_order if o.granted is not None}
        policy = SessionPolicy(refresh_retry_window=window)
        self._first, _ = SessionModel.log_in(UserModel(), ApplicationModel(), policy, start[1])
        self._first.tokens = [start]

    def run(self) -> Unfit | None:
        seen = set()
        best = 0
        branches = [iter([(0, self._first)])]
        while branches:
            node = next(branches[-1], None)
            if node is None:
                branches.pop()
                continue
            placed, session = node
            if placed.bit_count() == len(self._decided):
                return None
            state = (placed, session.current, session.last_key, session.ended)
            if state not in seen:
                seen.add(state)
                best = max(best, placed, key=int.bit_count)
                branches.append(self._next(node))
        return Unfit(self._decided[_first_gap(best)], best.bit_count())

    def _next(self, node: _Node) -> Iterator[_Node]:
        """What can come next: first what was decided, for what was not is needed seldom."""
        placed, session = node
        candidates, until = self._candidates(placed)
        for number in candidates:
            for after in _decided_effects(session, self._decided[number], self._clock):
                yield placed | 1 << number, after
        if not session.ended:
            for after in self._undecided_effects(session, until):
                yield placed, after

    def _candidates(self, placed: int) -> tuple[list[int], int]:
        """Decided operations that are not placed and began before any other of them had ended; and when the first of
        them had."""
        found, first_end = [], NEVER
        number = _first_gap(placed)
        while number < len(self._decided) and self._decided[number].began <= first_end:
            if not placed >> number & 1:
                found.append(number)
                first_end = min(first_end, self._decided[number].ended)
            number += 1
        return found, first_end

    def _undecided_effects(self, session: SessionModel, until: int) -> Iterator[SessionModel]:
        """The session after something that began until then and of which nobody knows: a move, or an end."""
        for operation in self._presenting[session.current]:
            moved_at = self._moves.get(session.current[0] + 1, _not_young(session, operation, self._clock))
            if operation.began <= until and self._clock.earliest(operation) <= moved_at:
                yield from _presented(session, operation, moved_at, "moved")
        began = takewhile(lambda operation: operation.began <= until, self._undecided)
        yield from islice((after for operation in began for after in _ends(session, operation, self._clock)), 1)


def _first_gap(placed: int) -> int:
    return (~placed & (placed + 1)).bit_length() - 1


def _decided_effects(session: SessionModel, operation: Operation, clock: StorageClock) -> Iterator[SessionModel]:
    """The session after an operation that was answered, if the model answers the same."""
    if operation.kind == "refresh":
        yield from _refreshed(session, operation, clock)
    elif operation.kind == "disable":
        yield _ended(session)
    elif session.ended:
        if operation.status == 401:
            yield session
    elif operation.status == 200:
        yield _ended(session)


def _refreshed(session: SessionModel, operation: Operation, clock: StorageClock) -> Iterator[SessionModel]:
    if operation.status == 200:
        token = operation.asked.token
        assert token is not None
        for moment in _moments(operation, clock):
            after = _copy(session)
            answer = after.present(token, operation.asked.key, moment)
            if answer.token is not None and answer.token == operation.granted:
                yield after
                return
    elif operation.code == "refresh_token_reused":
        yield from _presented(session, operation, clock.latest(operation), "reused")
    elif operation.code in _GONE and session.ended:
        yield session


def _moments(operation: Operation, clock: StorageClock) -> Iterator[int]:
    """When a refresh may have happened: when the token that it was answered with was made, or as early as it could."""
    assert operation.granted is not None
    if clock.earliest(operation) <= operation.granted[1] <= clock.latest(operation):
        yield operation.granted[1]
    yield clock.earliest(operation)


def _ends(session: SessionModel, operation: Operation, clock: StorageClock) -> Iterator[SessionModel]:
    """The session after an operation of which nobody knows, if that may have ended it."""
    if operation.kind == "refresh":
        yield from _presented(session, operation, _not_young(session, operation, clock), "reused")
    else:
        yield _ended(session)


def _not_young(session: SessionModel, operation: Operation, clock: StorageClock) -> int:
    """The first moment at which an operation finds a chain whose last move is a retry window old."""
    return max(clock.earliest(operation), session.current[1] + session.policy.refresh_retry_window * 1000)


def _presented(session: SessionModel, operation: Operation, moment: int, kind: str) -> Iterator[SessionModel]:
    """The session after this refresh, if it comes to that kind of answer."""
    token, after = operation.asked.token, _copy(session)
    assert token is not None
    if after.present(token, operation.asked.key, moment).kind == kind:
        yield after


def _copy(session: SessionModel) -> SessionModel:
    return replace(session, tokens=session.tokens[-1:])


def _ended(session: SessionModel) -> SessionModel:
    after = _copy(session)
    after.end()
    return after
