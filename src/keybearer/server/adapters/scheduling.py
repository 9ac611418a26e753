"""Which thread the kernel prefers: those that answer requests go before those that compute password hashes.

Linux only; elsewhere, and where the kernel does not know it or forbids it, nothing is set and nothing lost but latency.
"""

import contextlib
import ctypes
import os
import platform
import sys
import threading

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""Numbers of the system call, for which glibc has a function only since 2.41."""

_SHORT_SLICE = 100_000
"""Nanoseconds, the shortest that Linux takes. The default is about 1.5 ms a slice on two cores, 3 ms on many."""

_KEEP_POLICY = 0x08
"""Whatever the operator has chosen; nothing is set for a real-time thread."""


class _SchedAttr(ctypes.Structure):
    """`struct sched_attr` in its first version (sched_setattr(2)); a `runtime` of a normal thread is its slice."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def usable_processors() -> int:
    """Those that this process may run on, where the system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wake_at_once() -> None:
    """Of the calling thread, and those that it starts: when it wakes, it takes the core from a thread that computes.

    Without it, it waits for the end of the other's slice, however low that one's priority. Linux 6.12 and later.
    """
    if sys.platform == "linux":
        _set_attributes(_niceness(), _SHORT_SLICE)


def stand_back(niceness: int) -> None:
    """Of the calling thread: a lower priority, and slices of the usual length."""
    if sys.platform == "linux":
        wanted = max(niceness, _niceness())
        if not _set_attributes(wanted, 0):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), wanted)


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def _set_attributes(niceness: int, slice_ns: int) -> bool:
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return False
    wanted = _SchedAttr(size=ctypes.sizeof(_SchedAttr), flags=_KEEP_POLICY, nice=niceness, runtime=slice_ns)
    failed: int = ctypes.CDLL(None).syscall(number, threading.get_native_id(), ctypes.byref(wanted), 0)
    return not failed
