"""The alphabet of tokens and keys (rule R4): letters, digits, dots, hyphens and underscores, nothing else."""

import re

_TOKEN = re.compile(r"[A-Za-z0-9._-]+")


def is_in_alphabet(text: str) -> bool:
    """True when `text` is not empty and holds only characters that a token may hold."""
    return _TOKEN.fullmatch(text) is not None
