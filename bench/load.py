"""Load by `wrk` (Debian), pinned to the core that the server does not use."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

LOAD_CORE = 1
_LUA = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw: answers a second, answers other than 2xx or lost, and latencies in milliseconds."""

    rate: float
    errors: int
    p50: float
    p99: float
    longest: float

    def require_success(self) -> None:
        if self.errors:
            raise RuntimeError(f"{self.errors} requests failed: this run measures nothing")


def run_wrk(script: str, url: str, data: Path, api_key: str, *, connections: int, seconds: int, pause: int = 0) -> Load:
    """Run `bench/lua/<script>.lua` against `url` with one thread; `pause`, in milliseconds, is what the script makes of
    it."""
    more = [str(pause)] if pause else []
    finished = subprocess.run(
        [
            *("taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"),
            *("-s", str(_LUA / f"{script}.lua"), url, "--", str(data), api_key, *more),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    line = next(line for line in finished.stdout.splitlines() if line.startswith("RESULT"))
    requests, duration, errors, p50, p99, longest = (int(field) for field in line.split()[1:])
    return Load(requests / (duration / 1e6), errors, p50 / 1000, p99 / 1000, longest / 1000)
