"""Passwords as text: the one form in which they are hashed, and which new ones are taken.

A password is Unicode text, kept as it is typed (RFC 8265 section 4.2, OpaqueString): no change of case, no trimming, no
cutting off. It is normalised to NFC and nothing else, because keyboards differ in how they spell "é"; NFKC would make
passwords equal that look different. Space characters are not mapped to U+0020 as OpaqueString has it: a user who types
one types the same one again, and imported hashes were made without the mapping.

Imported hashes were mostly made without normalisation. A login is one verification, so no second spelling is tried:
whoever had a password that is not in NFC (rare: the usual keyboards produce NFC) sets a new one.
"""

import unicodedata
from collections.abc import Collection, Container

MAX_PASSWORD_BYTES = 1024
"""Of UTF-8, after normalisation. Above the 64 characters of NIST SP 800-63B, and hashed in no measurable time."""

MIN_PASSWORD_LENGTH = 8
"""Code points of a new password (OWASP ASVS 5.0, 6.2.1; NIST SP 800-63B-3 section 5.1.1.2)."""

_MAX_UNNORMALISED_LENGTH = 4096
"""Longer text is refused unseen: no text in NFC has more than 1.5 code points for each of its bytes when decomposed."""


class PasswordRefused(ValueError):
    """The text cannot be a password; `reason` is a sentence for its owner and never holds the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def prepare_password(text: str) -> bytes:
    """What is hashed, both when a password is set and when it is checked: UTF-8 of the NFC form.

    Raises PasswordRefused for text that has no such form (a lone surrogate) or is longer than `MAX_PASSWORD_BYTES`.
    NUL is a character like any other here: hashes with it exist and are to be verified.
    """
    if len(text) > _MAX_UNNORMALISED_LENGTH:
        raise PasswordRefused(_TOO_LONG)
    try:
        prepared = unicodedata.normalize("NFC", text).encode("utf-8")
    except UnicodeEncodeError:
        raise PasswordRefused("the password holds half a character (a lone surrogate)") from None
    if len(prepared) > MAX_PASSWORD_BYTES:
        raise PasswordRefused(_TOO_LONG)
    return prepared


_TOO_LONG = f"the password is longer than {MAX_PASSWORD_BYTES} bytes"


def check_new_password(text: str, *, names: Collection[str], common: Container[str]) -> None:
    """Refuse a password that is easy to guess; raises PasswordRefused. There are no rules of composition.

    `names` are the user's own: email, phone, first, last and whole name. `common` holds well-known passwords in lower
    case. Neither comparison minds the case; the one with names minds letters and digits only, so that neither
    "Jane.Doe!" nor a phone number with other separators is taken.
    """
    prepared = prepare_password(text).decode("utf-8")
    if "\x00" in prepared:
        raise PasswordRefused("the password holds a NUL character")
    if len(prepared) < MIN_PASSWORD_LENGTH:
        raise PasswordRefused(f"the password is shorter than {MIN_PASSWORD_LENGTH} characters")
    if prepared.lower() in common:
        raise PasswordRefused("the password is one of the most common ones")
    if _letters_and_digits(prepared) in _own_names(names):
        raise PasswordRefused("the password is the user's own name, email address or phone number")


def _own_names(names: Collection[str]) -> set[str]:
    """The names and, of email addresses, what stands before the @, as they are compared."""
    local_parts = (name.rpartition("@")[0] for name in names)
    return {_letters_and_digits(name) for name in (*names, *local_parts)} - {""}


def _letters_and_digits(text: str) -> str:
    folded = unicodedata.normalize("NFC", text).casefold()
    return "".join(character for character in folded if character.isalnum())
