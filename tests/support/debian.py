"""Programs and libraries that tests need and that Debian has."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_LOCK = Path(tempfile.gettempdir()) / "keybearer-tests-debian.lock"


def install(package: str) -> None:
    """Install it where that is possible: as root, on Debian or one of its children. One test process at a time does."""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run(["apt-get", *words], check=False, capture_output=True, env=environment)
