"""One refresh: under the store's lock, with a key that was stored before, tried again once, never too often."""

from typing import Final, Protocol, assert_never

from keybearer.client._errors import ClientError, RefreshUnavailable, SessionExpired
from keybearer.client._outcomes import Granted, Outcome, Refused, Rejected, Untried
from keybearer.client._record import Record
from keybearer.client._surroundings import Surroundings
from keybearer.client._vault import Vault

LOCK_WAIT: Final = 15.0
"""Seconds; more than a refresh takes."""

SHORTEST_COOLDOWN: Final = 1.0
LONGEST_COOLDOWN: Final = 60.0
"""Seconds between two tries while the service cannot be asked; twice as long each time, and up to half of that more."""


class Refreshes(Protocol):
    def refresh(self, record: Record) -> Outcome:
        """Ask the service for new tokens, once."""


class Cooldown:
    """For how long nothing is tried, and what is said meanwhile."""

    __slots__ = ("_failures", "_problem", "_surroundings", "_until")

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self.clear()

    @property
    def is_first(self) -> bool:
        """Whether the last try went well."""
        return self._failures == 0

    def clear(self) -> None:
        self._failures = 0
        self._until = 0.0
        self._problem: ClientError | None = None

    def begin(self, problem: ClientError, retry_after: float | None = None) -> None:
        """A try has failed. RefreshUnavailable says when the next one is due."""
        surroundings = self._surroundings
        pause = min(SHORTEST_COOLDOWN * 2 ** min(self._failures, 10), LONGEST_COOLDOWN)
        pause = min(pause * (1 + surroundings.chance() / 2), LONGEST_COOLDOWN)
        self._failures += 1
        self._problem = problem
        self._until = surroundings.steady() + max(pause, retry_after or 0)

    def problem(self) -> ClientError | None:
        """What to say instead of trying; None when a try is due."""
        rest = self._until - self._surroundings.steady()
        problem = self._problem
        if problem is None or rest <= 0:
            return None
        if isinstance(problem, RefreshUnavailable):
            return RefreshUnavailable(problem.detail, rest)
        return problem


class Refresher:
    __slots__ = ("_cooldown", "_service", "_surroundings", "_vault")

    def __init__(self, vault: Vault, service: Refreshes, surroundings: Surroundings) -> None:
        self._vault = vault
        self._service = service
        self._surroundings = surroundings
        self._cooldown = Cooldown(surroundings)

    def forget_failures(self) -> None:
        """The service has answered: the next refresh is tried at once."""
        self._cooldown.clear()

    def refresh(self, failed: Record, *, proactive: bool) -> Record:
        """What is known once the access token of `failed` is not good enough any more: newer tokens of the same login,
        or the end of it, or another login, which is for the caller to see.

        Raises SessionExpired, and what `Rejected` and `Untried` stand for. `proactive`: the access token has not been
        refused, so that a refusal to refresh it ends nothing before its time.
        """
        problem = self._cooldown.problem()
        if problem is not None:
            latest = self._vault.latest()
            if latest.session != failed.session:
                return latest
            raise problem
        with self._vault.exclusive(LOCK_WAIT):
            return self._refresh(failed, proactive=proactive)

    def _refresh(self, failed: Record, *, proactive: bool) -> Record:
        latest = self._vault.latest()
        if latest.session != failed.session:
            return latest
        latest = self._vault.keep_key(latest, self._surroundings.make_key())
        if latest.session != failed.session:
            return latest
        outcome = self._try(latest)
        match outcome:
            case Granted(session):
                self._cooldown.clear()
                return self._vault.advance(latest, session)
            case Refused(reason):
                return self._end(latest, reason, proactive=proactive)
            case Rejected(error):
                raise self._failed(error)
            case Untried(detail, retry_after):
                raise self._failed(RefreshUnavailable(detail), retry_after)
        assert_never(outcome)

    def _try(self, record: Record) -> Outcome:
        """Once more at once, unless that has just been in vain or the service asks for patience."""
        outcome = self._service.refresh(record)
        if isinstance(outcome, Untried) and outcome.retry_after is None and self._cooldown.is_first:
            return self._service.refresh(record)
        return outcome

    def _end(self, record: Record, reason: str | None, *, proactive: bool) -> Record:
        """Newer tokens of another process go before the refusal of older ones."""
        latest = self._vault.latest()
        if latest.session != record.session:
            return latest
        if proactive:
            raise SessionExpired(reason=reason)
        latest = self._vault.expire(latest)
        if latest.session is not None:
            return latest
        raise SessionExpired(reason=reason)

    def _failed(self, error: ClientError, retry_after: float | None = None) -> ClientError:
        self._cooldown.begin(error, retry_after)
        return self._cooldown.problem() or error
