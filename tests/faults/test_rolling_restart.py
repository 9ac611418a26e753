"""Replicas behind a proxy are restarted one after another under load, as in an upgrade: no refresh fails."""

import pytest

from tests.faults.ground import prepared
from tests.faults.load import restart_in_peace, under_load, until_answered
from tests.faults.proxies import ALL_SERVE, haproxy_before, nginx_before
from tests.faults.scene import opened

ROUNDS = 2


@pytest.mark.postgres
async def test_no_refresh_fails_behind_a_proxy_that_asks_who_is_ready() -> None:
    """HAProxy turns away from a replica that is not ready within 6 s; it repeats no request."""
    with prepared("postgresql", replicas=2, settings={"KEYBEARER_SHUTDOWN_DELAY": "8"}) as ground:
        async with opened(ground) as scene:
            with haproxy_before([replica.port for replica in scene.replicas], ground.home) as port:
                await until_answered(port, ALL_SERVE)
                async with under_load(scene, port) as statuses:
                    for replica in scene.replicas:
                        await restart_in_peace(replica)
                        await until_answered(port, ALL_SERVE)
    assert statuses.keys() == {200}, statuses


@pytest.mark.postgres
async def test_no_refresh_fails_behind_a_proxy_that_asks_nothing() -> None:
    """nginx notices that it is refused a connection, and asks another replica."""
    with prepared("postgresql", replicas=3) as ground:
        async with opened(ground) as scene:
            with nginx_before([replica.port for replica in scene.replicas], ground.home) as port:
                await until_answered(port, "/health/ready")
                async with under_load(scene, port) as statuses:
                    for replica in [*scene.replicas] * ROUNDS:
                        await restart_in_peace(replica)
            assert statuses.keys() == {200}, (statuses, (ground.home / "nginx-error.log").read_text()[-4000:])
