"""A storage and the plain restatement of the contract (tests/support/model.py) do the same, whatever happens to them.

Hypothesis makes up histories: logins, refreshes with any token that was ever answered, logouts, disabled users and
applications, restarts, and time that passes by the millisecond or by the month. After each step outcome, token, `ver`
and the lives of all sessions are compared, and what a follower of the feed refuses.
"""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from keybearer.server.domain.applications import Application
from keybearer.server.domain.sessions import (
    EndReason,
    Grant,
    Moved,
    RefreshOutcome,
    RefreshRefused,
    Repeated,
    SessionPolicy,
    SessionRefused,
)
from keybearer.server.domain.users import User, UserStatus
from tests.support.backends import Backend
from tests.support.clock import START
from tests.support.databases import Database
from tests.support.follower import Follower
from tests.support.model import Answer, ApplicationModel, SessionModel, Token, UserModel, WorldModel
from tests.support.randomness import SeededRandomness
from tests.support.world import HOME, OPERATOR, Login, World, token_at

T = TypeVar("T")

EXAMPLES = int(os.environ.get("KEYBEARER_TEST_EXAMPLES", "60"))
"""Histories per backend; more of them for a night's search."""

STEPS = 40

POLICY = SessionPolicy(
    access_token_lifetime=900, refresh_retry_window=60, idle_lifetime=7200, absolute_lifetime=2 * 7200 + 1
)
"""The window as in service; the limits nearer, so that histories reach them."""

W = POLICY.refresh_retry_window * 1000
GAPS = st.sampled_from([0, 1, 999, W - 1, W, W, W + 1])
"""Milliseconds before a presentation."""

KEYS = st.sampled_from([None, "key-of-one-client-22-chars", "key-of-another-22-chars-"])
WHICH = st.integers(0, 11)
"""Which of the sessions; modulo how many there are."""


@dataclass
class Pair:
    """A session in the storage and in the model, with every grant that was made in it."""

    login: Login
    model: SessionModel
    grants: list[Grant]


class Chain(RuleBasedStateMachine):
    backend: ClassVar[Backend]
    runner: ClassVar[asyncio.Runner]
    randomness: ClassVar[SeededRandomness]
    """One for all histories: they share the database."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        await self.backend.clock.set(START)
        self.world = World(self.backend, await self.backend.open(POLICY), POLICY, self.randomness)
        self.model = WorldModel(POLICY)
        self.pairs: list[Pair] = []
        self.users: list[tuple[User, UserModel]] = [(await self.world.user(), UserModel()) for _ in range(2)]
        self.applications: list[tuple[Application, ApplicationModel]] = [
            (await self.world.application(), ApplicationModel()) for _ in range(2)
        ]
        self.follower = await Follower.start(self.world.storage.feed)
        self.roles = 0
        await self._log_in(0, 0)

    def teardown(self) -> None:
        self.run(self.backend.close(self.world.storage))

    @property
    def now(self) -> int:
        return self.backend.clock.now()

    def _alive(self, which: int) -> Pair:
        """One of the sessions that are alive; a new one when none is."""
        alive = [pair for pair in self.pairs if pair.model.is_alive(self.now)]
        if not alive:
            self.run(self._admit_all())
            self.run(self._log_in(0, 0))
            alive = self.pairs[-1:]
        return alive[which % len(alive)]

    async def _admit_all(self) -> None:
        for who, user in self.users:
            await self.world.storage.users.set_status(who.id, UserStatus.ENABLED, OPERATOR)
            user.enabled = True
        for where, application in self.applications:
            await self.world.storage.applications.set_enabled(where.id, True, OPERATOR)
            application.enabled = True

    # --- sessions ---

    @rule(user=st.integers(0, 1), application=st.integers(0, 1))
    def log_in(self, user: int, application: int) -> None:
        self.run(self._log_in(user, application))

    async def _log_in(self, user: int, application: int) -> None:
        (who, who_model), (where, where_model) = self.users[user], self.applications[application]
        outcome = await self.world.storage.sessions.create(self.world.new_session(who, where), HOME)
        model, expected = self.model.log_in(who_model, where_model, self.now)
        assert _login_answer(outcome) == expected
        if isinstance(outcome, Grant) and model is not None:
            self.pairs.append(Pair(Login(self.world, who, where, outcome), model, [outcome]))

    @rule(which=WHICH, gap=GAPS, key=KEYS)
    def present_current(self, which: int, gap: int, key: str | None) -> None:
        pair = self._alive(which)
        self._present(pair, pair.model.current, key, gap)

    @rule(which=WHICH, key=KEYS, times=st.integers(1, 3))
    def walk(self, which: int, key: str | None, times: int) -> None:
        """Refresh as a client does that has time."""
        pair = self._alive(which)
        for _ in range(times):
            self._present(pair, pair.model.current, key, W)

    @rule(which=WHICH, gap=GAPS, key=KEYS, times=st.integers(2, 4))
    def repeat(self, which: int, gap: int, key: str | None, times: int) -> None:
        """The same request again and again, as a client does that gets no answer."""
        pair = self._alive(which)
        token = pair.model.current
        self._present(pair, token, key, gap)
        for _ in range(times - 1):
            self._present(pair, token, key, 1)

    @rule(which=WHICH, gap=GAPS, key=KEYS, own_key=st.booleans())
    def present_predecessor(self, which: int, gap: int, key: str | None, own_key: bool) -> None:
        """`own_key`: with the Idempotency-Key that moved the chain."""
        pair = self._alive(which)
        token = pair.model.tokens[-2:][0]
        self._present(pair, token, pair.model.last_key if own_key else key, gap)

    @rule(which=WHICH, back=st.integers(2, 4), gap=GAPS, key=KEYS)
    def present_earlier(self, which: int, back: int, gap: int, key: str | None) -> None:
        pair = self._alive(which)
        self._present(pair, pair.model.tokens[-1 - back :][0], key, gap)

    @rule(which=WHICH, ahead=st.integers(0, 3), later=st.sampled_from([-1, 0, 5000]), gap=GAPS, key=KEYS)
    def present_unexpected(self, which: int, ahead: int, later: int, gap: int, key: str | None) -> None:
        """A place ahead of the row, as after a failover that has lost moves; or the same place at another time."""
        pair = self._alive(which)
        place, moved_at = pair.model.current
        self._present(pair, (place + ahead, moved_at + later), key, gap)

    @rule(picks=st.lists(st.tuples(WHICH, st.integers(0, 2), KEYS), min_size=2, max_size=12), gap=GAPS)
    def present_at_once(self, picks: list[tuple[int, int, str | None]], gap: int) -> None:
        """To several sessions, and several times to one: the current token or one of the two before it."""
        self.run(self.backend.clock.advance(ms=gap))
        calls = []
        for which, back, key in picks:
            pair = self.pairs[which % len(self.pairs)]
            calls.append((pair, pair.model.tokens[-1 - back :][0], key))
        for (pair, token, key), outcome in zip(calls, self.run(self._together(calls)), strict=True):
            self._compare(pair, outcome, pair.model.present(token, key, self.now))

    async def _together(self, calls: list[tuple[Pair, Token, str | None]]) -> list[RefreshOutcome]:
        presentations = (
            pair.login.present(token_at(pair.login.grant.session, *token), key=key) for pair, token, key in calls
        )
        return await asyncio.gather(*presentations)

    @rule(which=WHICH, key=KEYS)
    def present_to_any_session(self, which: int, key: str | None) -> None:
        """To one that has ended, more often than not."""
        pair = self.pairs[which % len(self.pairs)]
        self._present(pair, pair.model.current, key, 0)

    def _present(self, pair: Pair, token: Token, key: str | None, gap: int) -> None:
        self.run(self.backend.clock.advance(ms=gap))
        presented = token_at(pair.login.grant.session, *token)
        outcome = self.run(pair.login.present(presented, key=key))
        self._compare(pair, outcome, pair.model.present(token, key, self.now))

    def _compare(self, pair: Pair, outcome: RefreshOutcome, expected: Answer) -> None:
        assert _refresh_answer(outcome) == expected
        if isinstance(outcome, Moved | Repeated):
            pair.grants.append(outcome.grant)
            assert outcome.grant.session.access_until == pair.model.access_until

    @rule(which=WHICH)
    def log_out(self, which: int) -> None:
        pair = self._alive(which)
        self.run(pair.login.end())
        if pair.model.is_alive(self.now) or self.now < pair.model.access_until:
            pair.model.end()

    # --- users and applications ---

    @rule(user=st.integers(0, 1), again=st.booleans())
    def disable_user(self, user: int, again: bool) -> None:
        """`again`: and enable it again at once."""
        who, model = self.users[user]
        self.run(self.world.storage.users.set_status(who.id, UserStatus.DISABLED, OPERATOR))
        self.model.disable_user(model)
        if again:
            self.run(self.world.storage.users.set_status(who.id, UserStatus.ENABLED, OPERATOR))
            model.enabled = True

    @rule(application=st.integers(0, 1), again=st.booleans())
    def disable_application(self, application: int, again: bool) -> None:
        where, model = self.applications[application]
        self.run(self.world.storage.applications.set_enabled(where.id, False, OPERATOR))
        self.model.disable_application(model)
        if again:
            self.run(self.world.storage.applications.set_enabled(where.id, True, OPERATOR))
            model.enabled = True

    @rule(user=st.integers(0, 1), everywhere=st.booleans())
    def change_user(self, user: int, everywhere: bool) -> None:
        """Another role, or a logout on all devices."""
        who, model = self.users[user]
        if everywhere:
            self.run(self.world.storage.sessions.end_all(who.id, EndReason.LOGOUT_ALL, HOME))
            self.model.log_out_everywhere(model)
        else:
            self.roles += 1
            added = frozenset({f"role{self.roles}"})
            self.run(self.world.storage.users.set_roles(who.id, add=added, actor=OPERATOR))
            self.model.change_roles(model)

    # --- the rest of the world ---

    @rule(
        which=WHICH,
        limit=st.sampled_from(["idle_until", "absolute_until"]),
        before=st.sampled_from([-1, 0, 1, 600_000]),
    )
    def present_near_a_limit(self, which: int, limit: str, before: int) -> None:
        pair = self._alive(which)
        gap = getattr(pair.model, limit) - before - self.now
        self._present(pair, pair.model.current, None, max(gap, 0))

    @rule(seconds=st.sampled_from([0, 1, 60, 3600]), back=st.booleans(), restart=st.booleans())
    def correct_the_clock(self, seconds: int, back: bool, restart: bool) -> None:
        """Between two lives of a process, or within one."""
        self.run(self.backend.clock.advance(-seconds if back else seconds))
        if restart:
            self.run(self.world.reopen())
            self.follower.feed = self.world.storage.feed

    # --- what must be true at any time ---

    @invariant()
    def lives_and_feed_agree(self) -> None:
        self.run(self._look())

    async def _look(self) -> None:
        sessions = self.world.storage.sessions
        views = await asyncio.gather(*(sessions.list_alive(user.id, limit=1000) for user, _ in self.users))
        for (user, _), listed in zip(self.users, views, strict=True):
            of_user = [pair for pair in self.pairs if pair.login.user is user]
            alive = {pair.login.id for pair in of_user if pair.model.is_alive(self.now)}
            assert {view.session.id for view in listed} == alive
        await self.follower.read()
        for pair in self.pairs:
            self._compare_refusals(pair)

    def _compare_refusals(self, pair: Pair) -> None:
        """Followers refuse what has ended and nothing else, of the access tokens that have not expired."""
        application = self.follower.applications[str(pair.login.application.id)]
        for grant in pair.grants:
            if grant.expires_at > self.now:
                refused = self.follower.refuses(grant) or not application.enabled
                assert refused == (pair.model.ended or grant.ver < pair.model.user.ver)


def _login_answer(outcome: Grant | SessionRefused) -> Answer:
    return _granted("created", outcome) if isinstance(outcome, Grant) else Answer(outcome.value)


def _refresh_answer(outcome: RefreshOutcome) -> Answer:
    match outcome:
        case Moved(grant):
            return _granted("moved", grant)
        case Repeated(grant):
            return _granted("repeated", grant)
        case RefreshRefused():
            return Answer(outcome.value)


def _granted(kind: str, grant: Grant) -> Answer:
    session = grant.session
    return Answer(kind, (session.place, session.moved_at), grant.ver, grant.issued_at, grant.expires_at)


@pytest.mark.slow
def test_a_storage_does_what_the_contract_says(database: Database) -> None:
    with asyncio.Runner() as runner:

        class OnBackend(Chain):
            backend = runner.run(database.connect())
            randomness = SeededRandomness()

        OnBackend.runner = runner
        try:
            run_state_machine_as_test(
                OnBackend,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    derandomize="KEYBEARER_TEST_EXAMPLES" not in os.environ,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(OnBackend.backend.close_all())
