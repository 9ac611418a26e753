"""Two replicas on PostgreSQL and three guards, all processes of their own: what one revokes all refuse.

How soon is measured by `python -m bench.revocation`, which does the same a thousand times.
"""

import pytest

from bench.revocation import GUARDS, measure
from bench.service import postgres_bench

REVOCATIONS = 20


@pytest.mark.postgres
@pytest.mark.slow
def test_every_guard_and_replica_refuses_what_was_revoked() -> None:
    with postgres_bench() as bench:
        delays = measure(bench, REVOCATIONS)  # raises when one of them accepts a token for half a minute more
    replicas = {"the replica that answered", "the other replica"}
    assert delays.keys() == {f"guard {number + 1}" for number in range(GUARDS)} | replicas
    assert all(len(found) == REVOCATIONS for found in delays.values())
