"""`keybearer serve`: the HTTP server, in one process or several."""

import asyncio
import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from uvicorn.config import STARTUP_FAILURE

from keybearer.cli.importing import make_app
from keybearer.server import app as composition
from keybearer.server.adapters.logging import configure_logging
from keybearer.server.cli.open_files import allow_open_files
from keybearer.server.cli.serving import Config, Server, Supervisor
from keybearer.server.cli.worker_metrics import served_metrics
from keybearer.server.cli.working import explained, make_ready
from keybearer.server.http.protocol import BoundedProtocol
from keybearer.server.settings import PREFIX, Settings, load_settings

if TYPE_CHECKING:
    from keybearer.server.app import App

KEEP_ALIVE = 65
"""Seconds that an idle connection stays open: longer than the 60 s after which common proxies close theirs."""

APP = "keybearer.server.app:create_app"

log = structlog.get_logger("keybearer.serve")


app = make_app()


@app.command("serve")
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen: an address or a host name.")] = None,
    port: Annotated[int | None, typer.Option(help="Where to listen.")] = None,
    database: Annotated[str | None, typer.Option(help="The database: sqlite:///path or postgresql://…/name.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer requests.")] = None,
    base_path: Annotated[str | None, typer.Option(help="What stands before the paths of the API.")] = None,
) -> None:
    """Run the service. Everything else is a setting (docs/configuration.md); these options go before them.

    An SQLite file is made and migrated by itself; a PostgreSQL server needs `keybearer migrate` first.
    """
    options = {"host": host, "port": port, "database": database, "workers": workers, "base_path": base_path}
    # The workers read the environment, as this process does.
    os.environ |= {PREFIX + name.upper(): str(value) for name, value in options.items() if value is not None}
    with explained():
        settings = load_settings(os.environ)
        make_ready(settings)
        asyncio.run(check_keys(settings))
    configure_logging(settings.log_format, settings.log_level)
    for warning in settings.warnings():
        log.warning(warning)
    allow_open_files()
    with explained(), served_metrics(settings):
        started = run(server_config(APP, settings))
    raise typer.Exit(0 if started else 1)


async def check_keys(settings: Settings) -> None:
    """Make the first keys and open those that are stored, so that what is wrong is said once, not by every worker.

    Raises SettingsError, StorageUnavailable and KeyEncryptionError.
    """
    encryption = composition.build_key_encryption(settings)
    async with composition.open_storage(settings) as storage:
        keys = composition.build_secret_keys(settings, storage, encryption)
        await keys.ensure()
        await keys.load()


def run(config: Config) -> bool:
    """Serve until a signal ends it; False when the service could not start, as the log says why."""
    try:
        return _run_workers(config) if config.workers > 1 else _run_alone(config)
    except SystemExit:  # uvicorn's, with a status of its own, when the port is taken
        return False


def _run_workers(config: Config) -> bool:
    with closing(config.bind_socket()) as listener:
        supervisor = Supervisor(config, [listener])
        supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


def _run_alone(config: Config) -> bool:
    server = Server(config)
    # uvicorn finishes its work and then raises the signal anew, by which the process would end as if it had failed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    server.run()
    return server.started


def server_config(app: "App | str", settings: Settings) -> Config:
    """How uvicorn serves: our bounds on a request's head, our logs, no header that tells what runs."""
    config = Config(
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
    config.shutdown_delay = settings.shutdown_delay
    return config
