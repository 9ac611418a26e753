"""Three replicas behind nginx are restarted one after another under load, as in an upgrade: no refresh fails."""

import asyncio
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import free_port
from tests.examples.test_nginx_forward_auth import nginx as nginx
from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.ground import prepared
from tests.faults.replicas import Replica
from tests.faults.scene import WITHIN, Scene, new_key, opened
from tests.faults.wire import ask, ask_status

CLIENTS = 20
ROUNDS = 2

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    upstream keybearer {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://keybearer;
            proxy_next_upstream error timeout non_idempotent;
        }}
    }}
}}
"""


@contextmanager
def balanced(nginx: str, home: Path, replicas: Sequence[Replica]) -> Iterator[int]:
    """The port of an nginx before the replicas. It asks another one when one cannot be reached, or has closed the
    connection without an answer: a refresh may be asked twice."""
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{replica.port} max_fails=0;" for replica in replicas)
    (home / "nginx.conf").write_text(_CONFIGURATION.format(home=home, port=port, servers=servers))
    process = subprocess.Popen([nginx, "-p", home, "-c", home / "nginx.conf", "-e", home / "nginx-error.log"])
    try:
        yield port
    finally:
        process.terminate()
        process.wait(WITHIN)


async def refresh_for_ever(scene: Scene, held: Held, port: int, statuses: "Counter[int]") -> None:
    """One client; 0 counts for no answer."""
    while True:
        reply = await ask(port, calls.refresh(scene.api_key, held, new_key()))
        statuses[reply.status if reply is not None else 0] += 1
        if reply is not None and reply.status == 200:
            held = Held.of(reply)


@pytest.mark.postgres
async def test_no_refresh_fails_while_replicas_are_restarted(nginx: str) -> None:
    with prepared("postgresql", replicas=3) as ground:
        async with opened(ground) as scene:
            with balanced(nginx, ground.home, scene.replicas) as port:
                async with asyncio.timeout(WITHIN):
                    while await ask_status(port, "/health/ready") != 200:
                        await asyncio.sleep(0.05)
                statuses = Counter[int]()
                async with asyncio.TaskGroup() as group:
                    clients = [
                        group.create_task(refresh_for_ever(scene, await scene.log_in(), port, statuses))
                        for _ in range(CLIENTS)
                    ]
                    for replica in [*scene.replicas] * ROUNDS:
                        await restart_in_peace(replica)
                    for client in clients:
                        client.cancel()
    assert statuses.keys() == {200}, statuses


async def restart_in_peace(replica: Replica) -> None:
    """As an orchestrator does: SIGTERM, and the next process when this one has ended by itself."""
    replica.kill(signal.SIGTERM)
    async with asyncio.timeout(WITHIN):
        assert await replica.wait() == 0
    await replica.start()
    await replica.wait_until_ready()
