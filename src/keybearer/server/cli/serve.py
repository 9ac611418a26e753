"""`keybearer serve`: the HTTP server, in one process or several."""

from typing import TYPE_CHECKING

import structlog
import uvicorn

from keybearer.server.http.protocol import BoundedProtocol
from keybearer.server.settings import Settings

if TYPE_CHECKING:
    from keybearer.server.app import App

KEEP_ALIVE = 65
"""Seconds that an idle connection stays open: longer than the 60 s after which common proxies close theirs."""

APP = "keybearer.server.app:create_app"

log = structlog.get_logger("keybearer.serve")


def server_config(app: "App | str", settings: Settings) -> uvicorn.Config:
    """How uvicorn serves: our bounds on a request's head, our logs, no header that tells what runs."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=settings.shutdown_grace,
    )
