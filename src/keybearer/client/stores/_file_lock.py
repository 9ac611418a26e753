"""An advisory lock on a file of its own (flock): the kernel releases it when its process dies, however it dies."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keybearer.client._errors import ConfigurationError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]  # not POSIX

_SHORTEST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05


class FileLock:
    """One at a time holds it, of all processes and threads."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        if fcntl is None:
            raise ConfigurationError(
                "This store needs the file locks of POSIX: use MemoryStore or a store of your own."
            )
        self._path = path

    @contextmanager
    def hold(self, timeout: float) -> Iterator[bool]:
        """True when it is held, until the block ends; False after `timeout` seconds. OSError when the file cannot be
        made. It is never removed: others may be waiting for it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _held.add(descriptor)
        held = False
        try:
            held = _wait(descriptor, timeout)
            yield held
        finally:
            _held.discard(descriptor)
            if held:
                # Closing is not enough: a child that was forked meanwhile has the file open too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _wait(descriptor: int, timeout: float) -> bool:
    end = time.monotonic() + timeout
    pause = _SHORTEST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return True


_held: set[int] = set()


def _close_in_child() -> None:
    """Else the child would hold the parent's locks when the parent has died."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
