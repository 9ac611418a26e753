"""The checker against histories made by hand: good ones pass, and each planted fault is found under its name."""

from collections.abc import Callable, Sequence

import pytest

from tests.faults.checker import Rules, Verdict, Watch, check
from tests.faults.history import ANYWHERE, Answered, Asked, ClockSet, Kind, Record, Token

RULES = Rules(window=2, staleness=10)

SESSION, USER = "s", "u"
START: Token = (0, 1_000)


class History:
    """One session, begun at one second. Instants are milliseconds."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._add("login", 900, 1_050, granted=START)

    def refresh(
        self,
        token: Token,
        began: int,
        ended: int | None = None,
        *,
        granted: Token | None = None,
        code: str = "",
        key: str = "key",
        status: int | None = None,
    ) -> "History":
        """Without `ended` nobody knows what came of it."""
        status = status if status is not None else 200 if granted is not None else 401
        return self._add("refresh", began, ended, token=token, granted=granted, code=code, key=key, status=status)

    def logout(self, began: int, ended: int | None = None, *, status: int = 200, where: int = ANYWHERE) -> "History":
        return self._add("logout", began, ended, status=status, where=where)

    def disable(self, began: int, ended: int | None = None) -> "History":
        return self._add("disable", began, ended)

    def info(self, began: int, *, status: int = 200, code: str = "", where: int = ANYWHERE) -> "History":
        return self._add("info", began, began + 5, status=status, code=code, where=where)

    def _add(
        self,
        kind: Kind,
        began: int,
        ended: int | None = None,
        *,
        token: Token | None = None,
        granted: Token | None = None,
        code: str = "",
        key: str = "",
        status: int = 200,
        where: int = ANYWHERE,
    ) -> "History":
        id = str(len(self.records))
        presents = kind not in ("login", "disable")
        self.records.append(Asked(id, kind, began, USER, SESSION if presents else "", token, key, where))
        if ended is not None:
            self.records.append(Answered(id, ended, status, code, "" if presents else SESSION, granted))
        return self

    def verdict(self) -> Verdict:
        return check(self.records, RULES)


def missed(history: History) -> set[str]:
    """The targets that the history misses."""
    return {violation.target for violation in history.verdict().violations}


GOOD: dict[str, Callable[[], History]] = {
    "a chain that moves": lambda: (
        History()
        .refresh(START, 2_000, 2_010, granted=(1, 2_005), key="a")
        .refresh((1, 2_005), 4_100, 4_110, granted=(2, 4_105), key="b")
    ),
    "a repeat within the window": lambda: (
        History()
        .refresh(START, 2_000, 2_010, granted=(1, 2_005), key="a")
        .refresh(START, 3_000, 3_010, granted=(1, 2_005), key="another")
        .refresh((1, 2_005), 3_500, 3_510, granted=(1, 2_005), key="b")
    ),
    "an answer that was lost, asked for hours later": lambda: (
        History().refresh(START, 2_000, key="a").refresh(START, 9_000_000, 9_000_010, granted=(1, 2_005), key="a")
    ),
    "a request that nobody answered and that never happened": lambda: (
        History()
        .refresh(START, 2_000, key="a")
        .refresh(START, 9_000, 9_010, granted=(1, 9_005), key="a")
        .refresh((1, 9_005), 12_000, 12_010, granted=(2, 12_005), key="b")
    ),
    "two at once": lambda: (
        History()
        .refresh(START, 2_000, 2_020, granted=(1, 2_010), key="a")
        .refresh(START, 2_001, 2_030, granted=(1, 2_010), key="b")
    ),
    "a database that was away": lambda: (
        History()
        .refresh(START, 2_000, 2_010, status=503, code="storage_unavailable", key="a")
        .refresh(START, 9_000, 9_010, granted=(1, 2_005), key="a")
    ),
    "a logout whose answer was lost": lambda: (
        History().logout(2_000).refresh(START, 2_100, 2_110, code="session_revoked").logout(3_000, 3_010, status=401)
    ),
    "a refresh that races a logout and is later": lambda: (
        History().logout(2_000, 2_050).refresh(START, 2_010, 2_060, code="session_revoked")
    ),
    "a refresh that races a logout and is sooner": lambda: (
        History().logout(2_000, 2_050).refresh(START, 2_010, 2_060, granted=(1, 2_015))
    ),
    "a user who is disabled": lambda: (
        History().disable(2_000, 2_050).refresh(START, 2_100, 2_110, code="session_revoked")
    ),
    "an access token that another replica takes for a moment more": lambda: (
        History().logout(2_000, 2_010, where=0).info(2_020, where=1).info(2_020, status=401, where=0)
    ),
}

BAD: dict[str, tuple[str, Callable[[], History]]] = {
    "logged out by nobody": (
        "lost",
        lambda: History().refresh(START, 2_000, 2_010, code="session_revoked"),
    ),
    "logged out by a restart that forgot the move": (
        "lost",
        lambda: (
            History()
            .refresh(START, 2_000, 2_010, granted=(1, 2_005))
            .refresh((1, 2_005), 5_000, 5_010, code="refresh_token_invalid")
        ),
    ),
    "logged out by the repeat of a request that was cut off": (
        "lost",
        lambda: (
            History().refresh(START, 2_000, key="a").refresh(START, 9_000, 9_010, code="refresh_token_reused", key="a")
        ),
    ),
    "an access token refused as revoked": (
        "lost",
        lambda: History().info(2_000, status=401, code="access_token_revoked"),
    ),
    "two successors": (
        "branches",
        lambda: (
            History().refresh(START, 2_000, 2_020, granted=(1, 2_010)).refresh(START, 2_001, 2_021, granted=(1, 2_011))
        ),
    ),
    "a refresh after a logout": (
        "alive",
        lambda: History().logout(2_000, 2_010).refresh(START, 2_020, 2_030, granted=(1, 2_025)),
    ),
    "a refresh after a disabling": (
        "alive",
        lambda: History().disable(2_000, 2_010).refresh(START, 2_020, 2_030, granted=(1, 2_025)),
    ),
    "an access token that the replica takes that has answered the logout": (
        "alive",
        lambda: History().logout(2_000, 2_010, where=1).info(2_020, where=1),
    ),
    "an access token taken beyond the staleness": (
        "alive",
        lambda: History().logout(2_000, 2_010, where=1).info(13_000, where=0),
    ),
    "two moves within the window": (
        "unfit",
        lambda: (
            History()
            .refresh(START, 2_000, 2_010, granted=(1, 2_005))
            .refresh((1, 2_005), 2_100, 2_110, granted=(2, 2_105))
        ),
    ),
    "a session never refreshed that is not moved": (
        "unfit",
        lambda: History().refresh(START, 2_000, 2_010, granted=START),
    ),
    "a jump over a place": (
        "unfit",
        lambda: History().refresh(START, 2_000, 2_010, granted=(2, 2_005)),
    ),
    "an old token answered without its key": (
        "unfit",
        lambda: (
            History()
            .refresh(START, 2_000, 2_010, granted=(1, 2_005), key="a")
            .refresh(START, 5_000, 5_010, granted=(1, 2_005), key="b")
        ),
    ),
    "a move that was there before anybody asked": (
        "unfit",
        lambda: History().refresh(START, 5_000, 5_010, granted=(1, 2_005)),
    ),
    "a chain that goes back": (
        "unfit",
        lambda: (
            History()
            .refresh(START, 2_000, 2_010, granted=(1, 2_005), key="a")
            .refresh((1, 2_005), 4_100, 4_110, granted=(2, 4_105), key="b")
            .refresh((1, 2_005), 4_200, 4_210, granted=(1, 2_005), key="b")
        ),
    ),
    "a fault of the service": (
        "unexpected",
        lambda: History().refresh(START, 2_000, 2_010, status=500, code="internal_error"),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories_pass(name: str) -> None:
    assert missed(GOOD[name]()) == set()


@pytest.mark.parametrize("name", BAD)
def test_planted_faults_are_found(name: str) -> None:
    target, make = BAD[name]
    assert target in missed(make())


def test_a_reuse_by_a_late_request_fits_the_state_machine_and_is_a_loss() -> None:
    history = (
        History()
        .refresh(START, 2_000, key="a")
        .refresh(START, 2_100, 2_110, granted=(1, 2_105), key="b")
        .refresh((1, 2_105), 6_000, 6_010, code="session_revoked", key="c")
    )
    assert missed(history) == {"lost"}


def test_a_move_that_nobody_heard_of_explains_a_reuse() -> None:
    """Two at once, with one key: one repeats, and the other moves the chain a moment later, unheard."""
    history = (
        History()
        .refresh(START, 2_000, 2_010, granted=(1, 2_005), key="a")
        .refresh((1, 2_005), 4_000, 4_010, granted=(1, 2_005), key="b")
        .refresh((1, 2_005), 4_000, key="b")
        .refresh((1, 2_005), 9_000, 9_010, code="refresh_token_reused", key="c")
    )
    assert missed(history) == {"lost"}


def test_figures() -> None:
    verdict = (
        History()
        .refresh(START, 2_000, 2_010, granted=(1, 2_005))
        .refresh(START, 2_500)
        .logout(3_000, 3_010, where=0)
        .info(3_040, where=1)
        .verdict()
    )
    assert (verdict.sessions, verdict.refreshes, verdict.moves) == (1, 1, 1)
    assert (verdict.operations, verdict.unanswered, verdict.revoked) == (5, 1, 1)
    assert verdict.latest_yes == 30


def test_a_long_history_with_many_unanswered_questions_is_judged_soon() -> None:
    history = History()
    token, moment = START, 2_000
    for place in range(1, 600):
        key = f"key {place}"
        for repeat in range(5):
            history.refresh(token, moment + repeat, key=key)
        after = (place, moment + 20)
        history.refresh(token, moment + 2_500, moment + 2_510, granted=after, key=key)
        token, moment = after, moment + 5_000
    assert missed(history) == set()


@pytest.mark.parametrize(
    ("history", "lost", "branches"),
    [
        (BAD["logged out by nobody"][1](), 1, 0),
        (BAD["two successors"][1](), 0, 1),
        (GOOD["a user who is disabled"](), 0, 0),
        (GOOD["a repeat within the window"](), 0, 0),
    ],
)
def test_the_watch_counts_while_it_goes_on(history: History, lost: int, branches: int) -> None:
    watch = Watch()
    for record in by_time(history.records):
        watch.add([record])
    assert (watch.logins, watch.lost, watch.branches) == (1, lost, branches)


def by_time(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.at)


# --- the storage's clock is stepped ----------------------------------------------------------------------------------

BEHIND = -60_000


def stepped(history: History, *steps: tuple[int, int]) -> History:
    history.records += [ClockSet(at, offset) for at, offset in steps]
    return history


def moved_behind() -> History:
    """The clock was set back before the first refresh, which moves the chain all the same; the next one is no window
    after that, and set right again it moves on."""
    return (
        History()
        .refresh(START, 2_000, 2_010, granted=(1, 1_000), key="a")
        .refresh((1, 1_000), 5_000, 5_010, granted=(1, 1_000), key="b")
        .refresh((1, 1_000), 7_000, 7_010, granted=(2, 7_005), key="c")
    )


def test_a_clock_that_was_set_back_explains_a_chain_that_stands_still() -> None:
    assert missed(stepped(moved_behind(), (1_500, BEHIND), (6_000, 0))) == set()
    assert missed(moved_behind()) == {"unfit"}


def test_a_clock_that_was_set_forward_explains_a_chain_that_moves_too_soon() -> None:
    def history() -> History:
        return (
            History()
            .refresh(START, 2_000, 2_010, granted=(1, 2_005), key="a")
            .refresh((1, 2_005), 2_100, 2_110, granted=(2, 62_105), key="b")
        )

    assert missed(stepped(history(), (2_050, -BEHIND))) == set()
    assert missed(stepped(history(), (2_200, -BEHIND))) == {"unfit"}


def test_a_clock_that_was_set_back_explains_no_repeat_without_its_key() -> None:
    """Set right before the token is presented that was passed a window ago."""
    history = (
        History()
        .refresh(START, 2_000, 2_010, granted=(1, 2_005), key="a")
        .refresh(START, 5_000, 5_010, granted=(1, 2_005), key="b")
    )
    assert missed(stepped(history, (2_100, BEHIND), (4_000, 0))) == {"unfit"}


@pytest.mark.parametrize(("ended", "targets"), [(700, set()), (1_100, {"alive", "unfit"})])
def test_which_disabling_concerns_a_session_is_told_by_the_clients_clock(ended: int, targets: set[str]) -> None:
    """A login while the clock is behind is no earlier for that."""
    history = History()
    history.records = []
    history.disable(600, ended)
    history._add("login", 900, 1_050, granted=(0, 1_000 + BEHIND))
    history.refresh((0, 1_000 + BEHIND), 2_000, 2_010, granted=(1, 2_005 + BEHIND), key="a")
    assert missed(stepped(history, (500, BEHIND))) == targets
