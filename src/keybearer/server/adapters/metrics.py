"""What the service counts, for Prometheus. No label ever holds a value that a caller sent."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HashingGauges(Protocol):
    """What the password hasher tells of itself."""

    @property
    def waiting(self) -> int: ...

    @property
    def running(self) -> int: ...

    @property
    def verifications(self) -> int: ...


class Metrics:
    """The service's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "keybearer_requests_total",
            "Answers, by operation, status and error code.",
            ("operation", "status", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "keybearer_request_seconds",
            "Time from a request's head to its answer.",
            ("operation",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._staleness = Gauge(
            "keybearer_revocation_staleness_seconds",
            "Age of what this process knows about revocations.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._hashing = Gauge(
            "keybearer_password_queue",
            "Password hashes, waiting and running.",
            ("state",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._streams = Gauge(
            "keybearer_feed_streams",
            "Guards that follow the feed.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._strangers = Gauge(
            "keybearer_waiting_strangers",
            "Requests that wait because most that strangers ask is refused.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._children: dict[tuple[str, int, str], tuple[Counter, Histogram]] = {}

    def observe(self, operation: str, status: int, code: str, seconds: float) -> None:
        """Count one answer."""
        child = self._children.get((operation, status, code))
        if child is None:
            child = (self._requests.labels(operation, str(status), code), self._seconds.labels(operation))
            self._children[operation, status, code] = child
        child[0].inc()
        child[1].observe(seconds)

    def sample(self, staleness: float, hashing: HashingGauges, streams: int, strangers: int) -> None:
        """Take the gauges' values, once a second."""
        self._strangers.set(strangers)
        self._streams.set(streams)
        self._staleness.set(staleness)
        self._hashing.labels("waiting").set(hashing.waiting)
        self._hashing.labels("running").set(hashing.running)
