"""What processor time a process takes, by what its threads do."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Usage:
    """Seconds of a core: of the thread with the event loop, of those that hash (which stand back, sched(7)), and of all
    others; and the share of each core of the machine that was busy with anything."""

    loop: float = 0.0
    hashing: float = 0.0
    others: float = 0.0
    busy: tuple[float, ...] = ()


@contextmanager
def usage_of(pid: int) -> Iterator[Usage]:
    """Filled in when the block ends. The process starts no thread meanwhile."""
    usage = Usage()
    began, threads, cores = time.perf_counter(), _threads(pid), _cores()
    yield usage
    seconds = time.perf_counter() - began
    for thread, (name, spent) in _threads(pid).items():
        setattr(usage, name, getattr(usage, name) + spent - threads.get(thread, (name, 0.0))[1])
    usage.busy = tuple(1 - (after - before) / seconds for after, before in zip(_cores(), cores, strict=True))


def _threads(pid: int) -> dict[int, tuple[str, float]]:
    """By their ids: what they are, and the seconds that they had."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        thread, niceness = int(task.name), int((task / "stat").read_text().rpartition(")")[2].split()[16])
        spent = int((task / "schedstat").read_text().split()[0]) / 1e9
        found[thread] = ("loop" if thread == pid else "hashing" if niceness > 0 else "others", spent)
    return found


def _cores() -> list[float]:
    """Seconds for which each core had nothing to do."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = [line.split() for line in lines if line.startswith("cpu") and not line.startswith("cpu ")]
    return [(int(each[4]) + int(each[5])) / _TICKS for each in fields]
