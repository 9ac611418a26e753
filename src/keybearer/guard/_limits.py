"""What a guard allows the service, and itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes. The defaults fit a service on the same continent and a million revocations.

    `stream_silence`: heartbeats come every 5 s; a stream that is silent for longer than this is given up.
    `stream_lifetime`: after this a stream is opened anew, which measures the service's time again.
    `keys_lifetime`: how long keys are used after the last time that the service answered with them.
    `unknown_key_interval`: tokens of unknown keys set off one fetch in this time at most.
    `refused_pause`: a service that refuses the guard's own key is asked again after this.
    `introspections`: how many callers can wait for the service's word at once, with `on_stale="introspect"`.
    """

    connect_timeout: float = 5
    answer_timeout: float = 15
    stream_silence: float = 15
    stream_lifetime: float = 900
    snapshot_bytes: int = 96 * 2**20
    snapshot_seconds: float = 120
    keys_bytes: int = 256 * 2**10
    keys_seconds: float = 10
    keys_lifetime: float = 3600
    unknown_key_interval: float = 30
    first_pause: float = 0.05
    longest_pause: float = 5
    refused_pause: float = 30
    introspections: int = 32
    introspection_seconds: float = 5


DEFAULT_LIMITS = Limits()
