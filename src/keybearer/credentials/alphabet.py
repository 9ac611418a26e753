"""The alphabet of tokens and keys (rule R4): letters, digits, dots, hyphens and underscores, nothing else."""

import string

_ALPHABET = (string.ascii_letters + string.digits + "._-").encode("ascii")


def is_in_alphabet(text: str) -> bool:
    """True when `text` is not empty and holds only characters that a token may hold."""
    return text != "" and text.isascii() and not text.encode("ascii").translate(None, _ALPHABET)
