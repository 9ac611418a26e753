"""Texts that look like any other to those who send them, and show nothing when they are printed."""

from typing import Final, Self

SHOWN: Final = "[secure]"


class SecretText(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return repr(SHOWN)


class SecretBytes(bytes):
    """`text` in ASCII. It decodes to the same object, whatever the encoding, which httpx asks for several times."""

    text: SecretText

    def __new__(cls, text: SecretText) -> Self:
        made = super().__new__(cls, text.encode("ascii"))
        made.text = text
        return made

    def __repr__(self) -> str:
        return repr(SHOWN.encode())

    def decode(self, encoding: str = "ascii", errors: str = "strict") -> str:  # noqa: ARG002 - as bytes.decode
        return self.text
