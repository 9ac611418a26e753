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
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
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

EXAMPLES = int(os.environ.get("KEYBEARER_TEST_EXAMPLES", "80"))
"""Histories per backend; more of them for a night's search."""

STEPS = 40

POLICY = SessionPolicy(
    access_token_lifetime=900, refresh_retry_window=60, idle_lifetime=7200, absolute_lifetime=4 * 7200 + 1
)
"""The window as in service; the limits nearer, so that histories reach them."""

EDGES = [0, 1, 999, 60_000 - 1, 60_000, 60_000 + 1, 900_000, 7_200_000 - 1, 7_200_000, 4 * 7_200_000]
KEYS = [None, "key-of-one-client-22-chars", "key-of-another-22-chars-"]


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

    sessions = Bundle("sessions")

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

    def teardown(self) -> None:
        self.run(self.backend.close(self.world.storage))

    @property
    def now(self) -> int:
        return self.backend.clock.now()

    # --- sessions ---

    @rule(target=sessions, user=st.integers(0, 1), application=st.integers(0, 1))
    def log_in(self, user: int, application: int) -> Pair | None:
        (who, who_model), (where, where_model) = self.users[user], self.applications[application]
        outcome = self.run(self.world.storage.sessions.create(self.world.new_session(who, where), HOME))
        model, expected = self.model.log_in(who_model, where_model, self.now)
        assert _login_answer(outcome) == expected
        if not isinstance(outcome, Grant) or model is None:
            return None
        pair = Pair(Login(self.world, who, where, outcome), model, [outcome])
        self.pairs.append(pair)
        return pair

    @rule(pair=sessions, key=st.sampled_from(KEYS))
    def present_current(self, pair: Pair | None, key: str | None) -> None:
        if pair is not None:
            self._present(pair, pair.model.current, key)

    @rule(pair=sessions, key=st.sampled_from(KEYS), times=st.integers(2, 4))
    def repeat(self, pair: Pair | None, key: str | None, times: int) -> None:
        """The same request again and again, as a client does that gets no answer."""
        if pair is not None:
            token = pair.model.current
            for _ in range(times):
                self._present(pair, token, key)

    @rule(pair=sessions, back=st.integers(1, 3), key=st.sampled_from(KEYS))
    def present_earlier(self, pair: Pair | None, back: int, key: str | None) -> None:
        """The direct predecessor, or one from before."""
        if pair is not None and len(pair.model.tokens) > back:
            self._present(pair, pair.model.tokens[-1 - back], key)

    @rule(pair=sessions)
    def present_predecessor_with_the_key_of_the_move(self, pair: Pair | None) -> None:
        if pair is not None and len(pair.model.tokens) > 1:
            self._present(pair, pair.model.tokens[-2], pair.model.last_key)

    @rule(pair=sessions, ahead=st.integers(1, 5), key=st.sampled_from(KEYS))
    def present_from_ahead(self, pair: Pair | None, ahead: int, key: str | None) -> None:
        """As after a failover that has lost moves."""
        if pair is not None:
            place, moved_at = pair.model.current
            self._present(pair, (place + ahead, moved_at), key)

    @rule(pair=sessions, later=st.sampled_from([-1, 1, 5000]), key=st.sampled_from(KEYS))
    def present_same_place_at_another_time(self, pair: Pair | None, later: int, key: str | None) -> None:
        if pair is not None:
            place, moved_at = pair.model.current
            self._present(pair, (place, moved_at + later), key)

    def _present(self, pair: Pair, token: Token, key: str | None) -> None:
        presented = token_at(pair.login.grant.session, *token)
        outcome = self.run(pair.login.present(presented, key=key))
        assert _refresh_answer(outcome) == pair.model.present(token, key, self.now)
        if isinstance(outcome, Moved | Repeated):
            pair.grants.append(outcome.grant)
            assert outcome.grant.session.access_until == pair.model.access_until

    @rule(pair=consumes(sessions))
    def log_out(self, pair: Pair | None) -> None:
        if pair is not None:
            self.run(pair.login.end())
            if pair.model.is_alive(self.now) or self.now < pair.model.access_until:
                pair.model.end()

    # --- users and applications ---

    @rule(user=st.integers(0, 1), enabled=st.booleans())
    def set_status(self, user: int, enabled: bool) -> None:
        who, model = self.users[user]
        status = UserStatus.ENABLED if enabled else UserStatus.DISABLED
        self.run(self.world.storage.users.set_status(who.id, status, OPERATOR))
        if enabled:
            model.enabled = True
        else:
            self.model.disable_user(model)

    @rule(application=st.integers(0, 1), enabled=st.booleans())
    def set_enabled(self, application: int, enabled: bool) -> None:
        where, model = self.applications[application]
        self.run(self.world.storage.applications.set_enabled(where.id, enabled, OPERATOR))
        if enabled:
            model.enabled = True
        else:
            self.model.disable_application(model)

    @rule(user=st.integers(0, 1))
    def change_roles(self, user: int) -> None:
        who, model = self.users[user]
        self.roles += 1
        added = frozenset({f"role{self.roles}"})
        self.run(self.world.storage.users.set_roles(who.id, add=added, actor=OPERATOR))
        self.model.change_roles(model)

    @rule(user=st.integers(0, 1))
    def log_out_everywhere(self, user: int) -> None:
        who, model = self.users[user]
        self.run(self.world.storage.sessions.end_all(who.id, EndReason.LOGOUT_ALL, HOME))
        self.model.log_out_everywhere(model)

    # --- the rest of the world ---

    @rule(ms=st.sampled_from(EDGES))
    def advance(self, ms: int) -> None:
        self.run(self.backend.clock.advance(ms=ms))

    @precondition(lambda self: self.now > START + 3_600_000)
    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def step_back(self, seconds: int) -> None:
        self.run(self.backend.clock.step_back(seconds))

    @rule(pair=sessions, ms=st.sampled_from([-1, 0]), limit=st.sampled_from(["idle_until", "absolute_until"]))
    def advance_to_a_limit(self, pair: Pair | None, ms: int, limit: str) -> None:
        if pair is not None and (at := getattr(pair.model, limit) + ms) > self.now:
            self.run(self.backend.clock.set(at))

    @rule()
    def restart(self) -> None:
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
