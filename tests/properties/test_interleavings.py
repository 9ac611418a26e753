"""A stolen copy: what owner and thief are answered, in every order and at every spacing, is written down and true."""

import asyncio

import pytest

from keybearer.server.domain.sessions import Moved, RefreshRefused, Repeated
from tests.support import interleavings
from tests.support.clock import START
from tests.support.interleavings import GAPS, LONG, SEQUENCES, SHORT, SPACINGS, Scenario, code_of
from tests.support.world import HOME, Login, World, token_of

WRITTEN = interleavings.written()
ENDS = ("R", "-")


def place_of(outcome: str) -> int:
    return int(outcome[1:])


def granted(scenario: Scenario) -> list[tuple[str, str]]:
    """(party, outcome) for as long as the session lives."""
    return [
        (party, outcome)
        for party, outcome in zip(scenario.sequence, scenario.outcomes, strict=True)
        if outcome not in ENDS
    ]


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_table_is_what_the_model_makes() -> None:
    expected = interleavings.table(interleavings.all_by_the_model())
    assert interleavings.TABLE.read_text(encoding="utf-8") == expected


def test_the_table_is_complete() -> None:
    assert len(WRITTEN) == len(SEQUENCES) * len(SPACINGS) == 64 * 32
    assert len({(scenario.sequence, scenario.spacing) for scenario in WRITTEN}) == len(WRITTEN)


@pytest.mark.parametrize(
    "line",
    [
        # Within the window all are answered with one token.
        "OTOTOT  .....  +1 =1 =1 =1 =1 =1",
        # A window apart the second party comes too late, whoever it is.
        "OTOTOT  WWWWW  +1 R  -  -  -  -",
        "TOOOOO  WWWWW  +1 R  -  -  -  -",
        # The thief who follows the owner within the window each time stays unnoticed: contract.md says so.
        "OTOTOT  .W.W.  +1 =1 +2 =2 +3 =3",
        # One who misses a move is noticed at once, even inside the window of the next.
        "OTOOTT  .WW..  +1 =1 +2 +3 R  -",
        # The owner alone loses nothing.
        "OOOOOO  .W.WW  +1 =1 +2 =2 +3 +4",
    ],
)
def test_known_stories_stand_in_the_table(line: str) -> None:
    assert Scenario.parse(line) in WRITTEN


# --- what must be true of every line --------------------------------------------------------------------------------


def test_a_chain_never_branches() -> None:
    """At any time one token is the current one: who is answered is answered with it, and no move skips or repeats."""
    for scenario in WRITTEN:
        current = 0
        for _, outcome in granted(scenario):
            assert place_of(outcome) == current + outcome.startswith("+"), scenario
            current = place_of(outcome)


def test_within_the_window_both_get_the_same_token_and_nobody_loses_the_session() -> None:
    for scenario in WRITTEN:
        if scenario.spacing == SHORT * 5:
            assert scenario.outcomes == ("+1", "=1", "=1", "=1", "=1", "=1")


def test_a_window_apart_the_session_ends_when_the_second_party_appears() -> None:
    for scenario in WRITTEN:
        if scenario.spacing == LONG * 5:
            alone = len(scenario.sequence) - len(scenario.sequence.lstrip(scenario.sequence[0]))
            moves = [f"+{place}" for place in range(1, alone + 1)]
            ending = ["R", *["-"] * 5][: 6 - alone]
            assert list(scenario.outcomes) == moves + ending


def test_one_party_alone_never_loses_the_session() -> None:
    for scenario in WRITTEN:
        if len(set(scenario.sequence)) == 1:
            assert len(granted(scenario)) == 6


def test_the_session_ends_exactly_when_a_token_is_presented_that_has_been_passed() -> None:
    """Passed: by two moves, or by one that is a window old. Who presents such a token was not alone."""
    for scenario in WRITTEN:
        held = {"O": 0, "T": 0}
        current, age = 0, 0
        steps = zip(scenario.sequence, (SHORT, *scenario.spacing), scenario.outcomes, strict=True)
        for party, gap, outcome in steps:
            if outcome == "-":
                break
            age += GAPS[gap]
            behind = current - held[party]
            passed = behind > 1 or (behind == 1 and age >= GAPS[LONG])
            assert (outcome == "R") == passed, scenario
            if outcome == "R":
                assert len(set(scenario.sequence)) == 2
                break
            if outcome.startswith("+"):
                age = 0
            held[party] = current = place_of(outcome)


def test_what_is_not_caught_is_what_the_contract_admits() -> None:
    """With both at work the session lives on only where the second party first came within the window."""
    for scenario in WRITTEN:
        if len(set(scenario.sequence)) == 2 and "R" not in scenario.outcomes:
            first_of_the_second = scenario.sequence.index("T" if scenario.sequence[0] == "O" else "O")
            assert scenario.spacing[first_of_the_second - 1] == SHORT, scenario


# --- the storage ----------------------------------------------------------------------------------------------------


async def test_a_storage_does_what_the_table_says(world: World) -> None:
    expected = {(scenario.sequence, scenario.spacing): scenario for scenario in WRITTEN}
    different = []
    for spacing in SPACINGS:
        for scenario in await play(world, spacing):
            if scenario != expected[scenario.sequence, spacing]:
                different.append(f"{scenario}   expected: {expected[scenario.sequence, spacing]}")
    assert not different, "\n".join(different)


async def test_keys_of_their_own_change_nothing(world: World) -> None:
    """Each party sends an Idempotency-Key with each refresh, as our clients do, and knows its own ones only."""
    expected = {(scenario.sequence, scenario.spacing): scenario for scenario in WRITTEN}
    for spacing in (SHORT * 5, LONG * 5, ".W.W.", "W.W.W"):
        assert await play(world, spacing, with_keys=True) == [expected[each, spacing] for each in SEQUENCES]


async def play(world: World, spacing: str, *, with_keys: bool = False) -> list[Scenario]:
    """All sequences at one spacing, each in a session of its own, side by side."""
    await world.clock.set(START)
    user, application = await world.user(), await world.application()
    logins = await asyncio.gather(*(world.log_in(user, application) for _ in SEQUENCES))
    held = [dict.fromkeys("OT", login.token) for login in logins]
    outcomes: list[list[str]] = [[] for _ in SEQUENCES]
    for step, gap in enumerate((SHORT, *spacing)):
        await world.clock.advance(ms=GAPS[gap])

        async def present(number: int, login: Login, step: int = step) -> None:
            party = SEQUENCES[number][step]
            key = f"{party}-{step}-of-this-party-only" if with_keys else None
            presentation = login.presentation(held[number][party], key=key)
            outcome = await world.storage.sessions.refresh(presentation, HOME)
            match outcome:
                case Moved(grant) | Repeated(grant):
                    held[number][party] = token_of(grant.session)
                    kind = "moved" if isinstance(outcome, Moved) else "repeated"
                    outcomes[number].append(code_of(kind, grant.session.place))
                case RefreshRefused():
                    outcomes[number].append(code_of(outcome.value, None))

        await asyncio.gather(*(present(number, login) for number, login in enumerate(logins)))
    return [Scenario(sequence, spacing, tuple(each)) for sequence, each in zip(SEQUENCES, outcomes, strict=True)]
