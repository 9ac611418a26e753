"""Users, and the names by which they log in."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class UserStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class User:
    """`ver` is the authorization version: tokens with a lower one are refused.

    `email` and `phone` are normalised; `password_version` counts the passwords that the user has had (0: none yet).
    """

    id: UUID
    email: str
    phone: str | None
    first_name: str
    last_name: str
    roles: tuple[str, ...]
    status: UserStatus
    ver: int
    created_at: int


@dataclass(frozen=True, slots=True)
class NewUser:
    id: UUID
    email: str
    phone: str | None
    first_name: str
    last_name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """What a login needs of the user whom a name belongs to, read by one statement."""

    user_id: UUID
    status: UserStatus
    password_hash: str
    password_version: int
    known_place: bool


class InvalidIdentifier(ValueError):
    """The text is neither an email address nor a phone number; the message says which form is expected."""


_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,189}")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_PHONE_SEPARATORS = re.compile(r"[ ().\-/]")


def normalise_email(text: str) -> str:
    """Lower case and NFC, so that one person has one name however it is typed. Raises InvalidIdentifier."""
    email = unicodedata.normalize("NFC", text.strip().lower())
    if not _EMAIL.fullmatch(email):
        raise InvalidIdentifier("an email address has the form name@domain")
    return email


def normalise_phone(text: str) -> str:
    """E.164: `+`, the country code and the number, without separators. Raises InvalidIdentifier."""
    phone = _PHONE_SEPARATORS.sub("", text.strip())
    if not _PHONE.fullmatch(phone):
        raise InvalidIdentifier("a phone number has the international form, as in +41 44 668 18 00")
    return phone


def normalise_identifier(text: str) -> str:
    """The one form under which a name is stored, looked up and counted. Raises InvalidIdentifier."""
    return normalise_email(text) if "@" in text else normalise_phone(text)
