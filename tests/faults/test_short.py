"""`make faults` for two minutes: faults by chance on both backends, and nothing may be lost."""

import pytest

from tests.faults.ground import Backend
from tests.faults.report import failures
from tests.faults.trial import Load, Plan, Progress, run_trial
from tests.support.summary import note_backend

SECONDS = 40.0
"""Of faults on each backend; start and end take some more."""

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
async def test_nothing_is_lost(backend: Backend, request: pytest.FixtureRequest) -> None:
    note_backend(request.node, backend)
    shown: list[Progress] = []
    result = await run_trial(Plan(backend, "short", SECONDS, Load(plain=20, stored=5)), shown.append)
    assert failures(result) == []
    assert result.verdict.moves > 0 and result.verdict.revoked > 0
    assert shown[-1].kills > 0 and shown[-1].drops > 0
