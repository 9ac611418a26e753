"""How many connections a process may hold.

The usual 1,024 open files of a shell or a unit are a limit for programs that cannot hold more. Strangers who keep as
many connections open would shut everybody else out until the service closes theirs.
"""

import contextlib
import sys


def allow_open_files() -> None:
    """Raise this process's limit of open files, and that of the processes that it starts, to what the user may have."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - Windows has none

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS says that there is no limit, and takes less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
