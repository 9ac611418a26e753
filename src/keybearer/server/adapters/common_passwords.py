"""The list of common passwords in the package (from zxcvbn-python 4.5.0; MIT, data/common_passwords/LICENSE)."""

from functools import cache
from importlib import resources


class CommonPasswords:
    """11,611 passwords of 8 characters or more, in lower case. The file is read at the first question."""

    def __contains__(self, text: object) -> bool:
        return text in _load()


@cache
def _load() -> frozenset[str]:
    file = resources.files("keybearer.server") / "data" / "common_passwords" / "common_passwords_min8.txt"
    return frozenset(file.read_text("utf-8").splitlines())
