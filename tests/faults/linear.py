"""Whether the history of one session fits contract.md section 3: is there an order of its operations, each at one
moment between question and answer, in which the model (tests/support/model.py) gives the answers that were given?

The search is the one of Wing and Gong, with Lowe's memory of what was tried. An operation of which nobody knows may
have taken effect at any moment after its question, or never.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from keybearer.server.domain.sessions import SessionPolicy
from tests.faults.history import NEVER, Operation, Token
from tests.support.model import ApplicationModel, SessionModel, UserModel

SLACK = 100
"""Milliseconds by which the storage's clock may be off the clients': all run on one machine."""

_GONE = frozenset({"session_revoked", "refresh_token_invalid"})
"""How a refresh in a session that has ended is answered; the second, once its row has been removed."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """No order fits. `operation` is the one that the best attempt could not place."""

    operation: Operation
    placed: int


def find_misfit(start: Token, operations: Sequence[Operation], window: int) -> Unfit | None:
    """None when the history fits. `start` is the token of the login, `window` the retry window in seconds."""
    return _Search(start, [o for o in operations if o.kind in ("refresh", "logout", "disable")], window).run()


_Node = tuple[int, SessionModel]
"""Which operations are placed (a bit for each), and the session as it is then."""


class _Search:
    def __init__(self, start: Token, operations: Sequence[Operation], window: int) -> None:
        self._operations = sorted(operations, key=lambda operation: operation.began)
        self._decided = sum(1 << n for n, o in enumerate(self._operations) if o.decided)
        self._moves = {o.granted[0]: o.granted[1] for o in self._operations if o.granted is not None}
        policy = SessionPolicy(refresh_retry_window=window)
        self._first, _ = SessionModel.log_in(UserModel(), ApplicationModel(), policy, start[1])
        self._first.tokens = [start]

    def run(self) -> Unfit | None:
        seen = set()
        best = (0, 0)
        branches = [self._next((0, self._first))]
        while branches:
            node = next(branches[-1], None)
            if node is None:
                branches.pop()
                continue
            placed, session = node
            if placed & self._decided == self._decided:
                return None
            state = (placed, session.current, session.last_key, session.ended)
            if state not in seen:
                seen.add(state)
                best = max(best, ((placed & self._decided).bit_count(), placed))
                branches.append(self._next(node))
        if not self._decided:
            return None
        missing = (self._decided & ~best[1]) & -(self._decided & ~best[1])
        return Unfit(self._operations[missing.bit_length() - 1], best[0])

    def _next(self, node: _Node) -> Iterator[_Node]:
        """What can come next: first what was decided, for what was not is needed seldom."""
        placed, session = node
        candidates = list(self._candidates(placed))
        for number in candidates:
            if self._operations[number].decided:
                for after in _decided_effects(session, self._operations[number]):
                    yield placed | 1 << number, after
        for number in candidates:
            if not self._operations[number].decided:
                for after in _undecided_effects(session, self._operations[number], self._moves):
                    yield placed | 1 << number, after

    def _candidates(self, placed: int) -> Iterator[int]:
        """Operations that are not placed and began before any of the others that are not had ended."""
        first_end = NEVER
        number = (~placed & (placed + 1)).bit_length() - 1
        while number < len(self._operations) and self._operations[number].began <= first_end:
            if not placed >> number & 1:
                yield number
                if self._operations[number].decided:
                    first_end = min(first_end, self._operations[number].ended)
            number += 1


def _decided_effects(session: SessionModel, operation: Operation) -> Iterator[SessionModel]:
    """The session after an operation that was answered, if the model answers the same."""
    if operation.kind == "refresh":
        yield from _refreshed(session, operation)
    elif operation.kind == "disable":
        yield _ended(session)
    elif session.ended:
        if operation.status == 401:
            yield session
    elif operation.status == 200:
        yield _ended(session)


def _refreshed(session: SessionModel, operation: Operation) -> Iterator[SessionModel]:
    token = operation.asked.token
    assert token is not None
    if operation.status == 200:
        for moment in _moments(operation):
            after = _copy(session)
            answer = after.present(token, operation.asked.key, moment)
            if answer.token is not None and answer.token == operation.granted:
                yield after
                return
    elif operation.code == "refresh_token_reused":
        yield from _presented(session, token, operation.asked.key, operation.ended + SLACK, "reused")
    elif operation.code in _GONE and session.ended:
        yield session


def _moments(operation: Operation) -> Iterator[int]:
    """When a refresh may have happened: when the token that it was answered with was made, or as early as it could."""
    assert operation.granted is not None
    if operation.began - SLACK <= operation.granted[1] <= operation.ended + SLACK:
        yield operation.granted[1]
    yield operation.began - SLACK


def _undecided_effects(session: SessionModel, operation: Operation, moves: Mapping[int, int]) -> Iterator[SessionModel]:
    """The session after an operation that nobody knows of, where that makes a difference."""
    if session.ended:
        return
    if operation.kind != "refresh":
        yield _ended(session)
        return
    token, key = operation.asked.token, operation.asked.key
    assert token is not None
    moved_at = moves.get(session.current[0] + 1)
    if moved_at is not None and moved_at >= operation.began - SLACK:
        yield from _presented(session, token, key, moved_at, "moved")
    too_late = max(operation.began, session.current[1] + session.policy.refresh_retry_window * 1000)
    yield from _presented(session, token, key, too_late, "reused")


def _presented(session: SessionModel, token: Token, key: str, moment: int, kind: str) -> Iterator[SessionModel]:
    """The session after this, if it comes to that kind of answer."""
    after = _copy(session)
    if after.present(token, key, moment).kind == kind:
        yield after


def _copy(session: SessionModel) -> SessionModel:
    return replace(session, tokens=session.tokens[-1:])


def _ended(session: SessionModel) -> SessionModel:
    after = _copy(session)
    after.end()
    return after
