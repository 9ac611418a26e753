"""Real proxies before the replicas."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.faults.scene import WITHIN
from tests.support.ports import free_port
from tests.support.programs import find_program

ALL_SERVE = "/all-replicas-serve"
"""Answered by HAProxy itself: 200 when all replicas get requests."""

_NGINX = """
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
    upstream keybearer {{
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://keybearer;
            {options}
        }}
    }}
}}
"""

_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    retries 0

frontend front
    bind 127.0.0.1:{port}
    monitor-uri {all_serve}
    monitor fail if {{ nbsrv(keybearer) lt {count} }}
    default_backend keybearer

backend keybearer
    option httpchk GET /health/ready
    {servers}
"""


@contextmanager
def nginx_before(ports: Sequence[int], home: Path, options: str = "") -> Iterator[int]:
    """The port of an nginx that asks the replicas in turn. It does not look whether they are ready: the open-source one
    cannot. `options` are its directives for the location."""
    port = free_port()
    servers = "\n        ".join(f"server 127.0.0.1:{replica} max_fails=0;" for replica in ports)
    (home / "nginx.conf").write_text(_NGINX.format(home=home, port=port, servers=servers, options=options))
    program = find_program("nginx", "nginx-light")
    with _running([program, "-p", home, "-c", home / "nginx.conf", "-e", home / "nginx-error.log"]):
        yield port


@contextmanager
def haproxy_before(ports: Sequence[int], home: Path) -> Iterator[int]:
    """The port of an HAProxy that asks each replica every 2 s whether it is ready, and believes the third answer that
    says no and the second that says yes: its defaults. It asks nobody twice, not even for a connection."""
    port = free_port()
    servers = "\n    ".join(f"server replica-{replica} 127.0.0.1:{replica} check" for replica in ports)
    text = _HAPROXY.format(port=port, servers=servers, count=len(ports), all_serve=ALL_SERVE)
    (home / "haproxy.cfg").write_text(text)
    with _running([find_program("haproxy", "haproxy"), "-q", "-db", "-f", home / "haproxy.cfg"]):
        yield port


@contextmanager
def _running(command: Sequence[str | Path]) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(WITHIN)
