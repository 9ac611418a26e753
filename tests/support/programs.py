"""Programs of the system that tests need."""

import os
import shutil

import pytest

from tests.support.debian import install


def find_program(name: str, package: str) -> str:
    """The path of a program; Debian's `package` is installed if it is missing. Without it the test fails."""
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    if shutil.which(name, path=path) is None:
        install(package)
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"This test needs {name}. On Debian, as root: apt-get install {package}")
    return found
