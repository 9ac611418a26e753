"""What the time of a refused login tells: unknown user, wrong password, wrong password of a disabled account."""

import statistics
import time
from collections.abc import Mapping, Sequence

import httpx2

from bench.service import RunningService

Times = Mapping[str, Sequence[float]]
"""Seconds of each refusal, by its cause."""

UNKNOWN = "nobody@example.com"


def measure_refusals(service: RunningService, api_key: str, usernames: Mapping[str, str], count: int) -> Times:
    """`count` refusals for each cause, one at a time and in turn, so that the machine's moods meet all alike."""
    times: dict[str, list[float]] = {cause: [] for cause in usernames}
    url = f"{service.url}/v1/api/oauth/token"
    with httpx2.Client(headers={"Api-Key": api_key}) as client:
        for _ in range(count):
            for cause, username in usernames.items():
                started = time.perf_counter()
                answer = client.post(url, json={"username": username, "password": "not the right one"})
                times[cause].append(time.perf_counter() - started)
                if answer.status_code != 401:
                    raise RuntimeError(f"a wrong password was answered with {answer.status_code}")
    return times


def table(times: Times) -> str:
    """The distributions side by side, in milliseconds."""
    rows = [f"| {cause} | {len(found)} | {_quantiles(found)} |" for cause, found in times.items()]
    head = "| refused login | count | p10 | p25 | p50 | p75 | p90 |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *rows])


def spread(times: Times) -> float:
    """The largest median to the smallest: 1 when the time tells nothing."""
    medians = [statistics.median(found) for found in times.values()]
    return max(medians) / min(medians)


def _quantiles(found: Sequence[float]) -> str:
    deciles = statistics.quantiles(found, n=20, method="inclusive")
    return " | ".join(f"{deciles[at] * 1000:.1f}" for at in (1, 4, 9, 14, 17))
