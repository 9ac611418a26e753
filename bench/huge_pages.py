"""`python -m bench.huge_pages` (root, Linux): logins a second with transparent huge pages for whoever asks for them
(`madvise`) and for all (`always`), in turn. Puts the machine's setting back.

libsodium takes the 19 MiB of each hash from the kernel and gives them back, and asks for no huge pages.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.parts import LOGIN, measure, prepare
from bench.service import sqlite_bench

ROUNDS = 3
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@contextmanager
def _kept() -> Iterator[None]:
    before = SETTING.read_text().partition("[")[2].partition("]")[0]
    try:
        yield
    finally:
        SETTING.write_text(before)


def main() -> None:
    rates: dict[str, list[float]] = defaultdict(list)
    with sqlite_bench() as bench, _kept():
        api_key = prepare(bench)
        for number in range(ROUNDS):
            for setting in ("madvise", "always"):
                SETTING.write_text(setting)
                rates[setting].append(measure(bench, LOGIN, api_key, number).rate)
    for setting, found in rates.items():
        print(f"{setting}: {statistics.median(found):.1f} logins/s")


if __name__ == "__main__":
    main()
