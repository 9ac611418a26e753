"""Wall clocks that are stepped. libfaketime, from Debian, gives a process another time, and reads from a file by how
much. The clocks that never step are left alone: so do the corrections of a real one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.faults.history import Journal
from tests.support.debian import install

FURTHEST = 60.0
"""Seconds by which a clock is wrong at most, either way. Then no two disagree by more than two minutes, for which an
entry of the feed outlives the tokens that it concerns."""

_LIBRARIES = "*/faketime/libfaketime.so.1"
_SHARED = Path("/dev/shm")  # noqa: S108 - where the library keeps it


@cache
def find_library() -> Path:
    """libfaketime; Debian's package is installed where that is possible."""
    if not list(Path("/usr/lib").glob(_LIBRARIES)):
        install("libfaketime")
    for library in Path("/usr/lib").glob(_LIBRARIES):
        return library
    raise RuntimeError("This needs libfaketime. On Debian, as root: apt-get install libfaketime")


class TrueClock:
    """The machine's own."""

    environment: Mapping[str, str] = {}

    def begin(self) -> None:
        """A process is about to start with it."""

    def step(self, seconds: float) -> None:
        """Be wrong by so much from now on, under a process that runs too."""
        raise NotImplementedError("the machine's clock is not ours to step")

    def forget(self, pid: int) -> None:
        """That process has ended."""


@dataclass(slots=True)
class SteppedClock(TrueClock):
    """`journal` is told by how much each process is wrong that begins with it: for a clock that is the storage's."""

    file: Path
    journal: Journal | None = None
    offset: float = 0.0

    def __post_init__(self) -> None:
        self.step(self.offset)

    @property
    def environment(self) -> Mapping[str, str]:  # type: ignore[override]
        return {
            "LD_PRELOAD": str(find_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def step(self, seconds: float) -> None:
        """At once: the file is there as a whole or as it was."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n", encoding="ascii")
        new.chmod(0o644)
        new.replace(self.file)
        self.offset = seconds

    def begin(self) -> None:
        if self.journal is not None:
            self.journal.set_clock(round(self.offset * 1000))

    def forget(self, pid: int) -> None:
        """The library leaves a shared memory behind, and would not start in a process that is given the same pid."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            (_SHARED / name).unlink(missing_ok=True)
