"""The kernel is told which threads go first."""

import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keybearer.server.adapters.scheduling import stand_back, wake_at_once

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux schedules threads one by one")


def scheduled() -> tuple[int, int | None]:
    """Niceness and slice (nanoseconds; None where this kernel does not tell) of the calling thread."""
    thread = threading.get_native_id()
    told = Path(f"/proc/self/task/{thread}/sched")
    found = re.search(r"se\.slice +: +(\d+)", told.read_text()) if told.exists() else None
    return os.getpriority(os.PRIO_PROCESS, thread), int(found[1]) if found else None


def test_the_loop_takes_short_slices_and_who_stands_back_the_usual_ones() -> None:
    with ThreadPoolExecutor(1) as pool:
        niceness, _ = pool.submit(scheduled).result()
        pool.submit(wake_at_once).result()
        short = pool.submit(scheduled).result()
        pool.submit(stand_back, 15).result()
        behind = pool.submit(scheduled).result()
    assert (short[0], behind[0]) == (niceness, max(15, niceness))
    if short[1] is not None and behind[1] is not None:
        assert short[1] == 100_000 < behind[1]


def test_what_an_operator_has_chosen_stays() -> None:
    """A policy other than the normal one, and a niceness beyond ours."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(os.sched_setscheduler, 0, os.SCHED_BATCH, os.sched_param(0)).result()
        pool.submit(os.setpriority, os.PRIO_PROCESS, 0, 19).result()
        pool.submit(wake_at_once).result()
        pool.submit(stand_back, 15).result()
        assert pool.submit(os.sched_getscheduler, 0).result() == os.SCHED_BATCH
        assert pool.submit(scheduled).result()[0] == 19
