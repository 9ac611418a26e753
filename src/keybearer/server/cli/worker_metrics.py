"""Where Prometheus finds `/metrics`: of the one process, or of all workers together, answered by their parent.

Workers count in files of a directory (prometheus_client's multiprocess mode). The environment names it before they are
started, because the library asks for it when it is imported.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from keybearer.server.settings import Settings, SettingsError

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class WorkersCollector(Collector):
    """What all workers have counted. Gauges of workers that have died since are left out."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._workers = MultiProcessCollector(None, path=str(directory))

    def collect(self) -> Iterator[Metric]:
        for file in self._directory.glob("gauge_live*_*.db"):
            pid = int(file.stem.rpartition("_")[2])
            if not _is_running(pid):
                mark_process_dead(pid, str(self._directory))
        yield from self._workers.collect()


@contextmanager
def served_metrics(settings: Settings) -> Iterator[None]:
    """Answer `/metrics` until the block ends, if the settings have a port for it. Raises SettingsError if it is taken.

    With several workers they must be started inside the block.
    """
    if settings.metrics_port == 0:
        yield
    elif settings.workers == 1:
        with _listening(settings, REGISTRY):
            yield
    else:
        with tempfile.TemporaryDirectory(prefix="keybearer-metrics-") as directory:
            registry = CollectorRegistry()
            registry.register(WorkersCollector(Path(directory)))
            os.environ[DIRECTORY] = directory
            try:
                with _listening(settings, registry):
                    yield
            finally:
                del os.environ[DIRECTORY]


@contextmanager
def _listening(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        raise SettingsError(
            f"The metrics cannot be served on port {settings.metrics_port}: {error.strerror}. "
            "Choose another KEYBEARER_METRICS_PORT."
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _is_running(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
