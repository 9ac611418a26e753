from collections.abc import Iterator

import pytest

from keybearer.client import Client
from tests.client.acting import signed_in
from tests.client.transports import OPEN, Transport, opened
from tests.stage.client import Stage, running_stage


@pytest.fixture(scope="session")
def staged() -> Iterator[Stage]:
    with running_stage() as stage:
        yield stage


@pytest.fixture
def stage(staged: Stage) -> Iterator[Stage]:
    staged.reset()
    yield staged
    staged.reset()


@pytest.fixture
def client(stage: Stage) -> Client:
    """One that the first user has logged in, with an empty journal."""
    client = signed_in(stage)
    stage.clear_journal()
    return client


@pytest.fixture(params=list(OPEN))
def transport(request: pytest.FixtureRequest, client: Client) -> Iterator[Transport]:
    """Each transport in turn, with the credentials of `client`."""
    with opened(request.param, client) as transport:
        yield transport
