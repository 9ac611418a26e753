"""Owner and thief with copies of one refresh token: every order of six presentations, at every spacing.

The outcomes stand in tests/properties/data/interleavings.txt, made by the model once and read by people since.
`python -m tests.support.interleavings` (from the repository's root) writes the table anew.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from keybearer.server.domain.sessions import SessionPolicy
from tests.support.clock import START
from tests.support.model import Answer, ApplicationModel, SessionModel, UserModel

TABLE = Path(__file__).resolve().parent.parent / "properties" / "data" / "interleavings.txt"

POLICY = SessionPolicy()
PRESENTATIONS = 6
SHORT, LONG = ".", "W"
GAPS = {SHORT: 1000, LONG: POLICY.refresh_retry_window * 1000}
"""Milliseconds between two presentations: all five short ones together are less than the window."""

SEQUENCES = ["".join(parties) for parties in product("OT", repeat=PRESENTATIONS)]
SPACINGS = ["".join(gaps) for gaps in product(SHORT + LONG, repeat=PRESENTATIONS - 1)]

HEADER = """\
# Owner (O) and thief (T) hold copies of one refresh token, that of the login. Each presents the latest token that it
# holds, in the order of the first column. The second column is the time before the second, third, … presentation:
# . is a second, W is the retry window. Then the outcome of each presentation:
#
#   +n  the chain moved to place n, and the party holds that token
#   =n  the chain stayed at place n, and the party holds that token
#   R   reuse: the session has been ended by it
#   -   the session had been ended before
#
# Made by the model: python -m tests.support.interleavings
"""


@dataclass(frozen=True)
class Scenario:
    sequence: str
    spacing: str
    outcomes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.sequence}  {self.spacing}  {' '.join(f'{outcome:2}' for outcome in self.outcomes)}".rstrip()

    @classmethod
    def parse(cls, line: str) -> "Scenario":
        sequence, spacing, *outcomes = line.split()
        return cls(sequence, spacing, tuple(outcomes))


def code_of(kind: str, place: int | None) -> str:
    """How the table writes an outcome."""
    return {"moved": f"+{place}", "repeated": f"={place}", "reused": "R", "revoked": "-"}[kind]


def by_the_model(sequence: str, spacing: str) -> Scenario:
    now = START
    session, _ = SessionModel.log_in(UserModel(), ApplicationModel(), POLICY, now)
    held = dict.fromkeys("OT", session.current)
    outcomes = []
    for party, gap in zip(sequence, (SHORT, *spacing), strict=True):
        now += GAPS[gap]
        answer: Answer = session.present(held[party], None, now)
        held[party] = answer.token or held[party]
        outcomes.append(code_of(answer.kind, answer.token and answer.token[0]))
    return Scenario(sequence, spacing, tuple(outcomes))


def all_by_the_model() -> list[Scenario]:
    return [by_the_model(sequence, spacing) for spacing in SPACINGS for sequence in SEQUENCES]


def written() -> list[Scenario]:
    """The table as it is checked in."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [Scenario.parse(line) for line in lines if not line.startswith("#")]


def table(scenarios: list[Scenario]) -> str:
    return HEADER + "".join(f"{scenario}\n" for scenario in scenarios)


if __name__ == "__main__":
    TABLE.write_text(table(all_by_the_model()), encoding="utf-8")
