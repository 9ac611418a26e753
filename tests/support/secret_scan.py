"""Looks for credentials where none may be: in database files, dumps, logs, metrics and whatever a process has said.

It knows the credentials that were handed out, and finds each as it was, and as hex, base64 (wherever it begins in what
was encoded), URL-encoded, UTF-16, and the bytes that it stands for. Only the secret part is looked for: the beginning
of an access token is the same in all of them.

A pass over the data takes as long for a hundred credentials as for ten thousand: every eight bytes of the data are
looked up among the beginnings of all forms. So the shortest form has fifteen bytes.
"""

import mmap
from base64 import b64encode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import quote, quote_plus

import msgspec

from keybearer.base64url import decode_base64url

Kind = Literal["password", "api key", "access token", "refresh token", "key-encryption key"]

_WORD = 8
_SHORTEST = 2 * _WORD - 1

AT_ONCE = 5_000
"""Credentials that one pass looks for: some 100 MB of memory."""

Data = bytes | mmap.mmap


class Credential(msgspec.Struct, frozen=True):
    kind: Kind
    text: str

    @property
    def secret(self) -> str:
        """What has to be known to use it."""
        match self.kind:
            case "access token":
                return self.text.rpartition(".")[2]
            case "refresh token":
                return self.text[-60:]
            case "api key":
                return self.text[4:47]
            case _:
                return self.text

    @property
    def raw(self) -> bytes | None:
        """The bytes that it stands for."""
        match self.kind:
            case "password":
                return None
            case "refresh token":
                decoded = decode_base64url(self.text.partition("_")[2])
                return decoded and decoded[-48:]
            case _:
                return decode_base64url(self.secret)


@dataclass(frozen=True, slots=True)
class Finding:
    """`where` names the data, `form` how the credential stands in it; the credential itself is not shown."""

    where: str
    kind: Kind
    form: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}, {self.form}"


def forms(credential: Credential) -> Iterator[tuple[str, bytes]]:
    """How it may stand in the data, each by its name."""
    text = credential.secret.encode()
    yield "as it is", text
    yield "URL-encoded", quote(text, safe="").encode()
    yield "URL-encoded", quote_plus(text).encode()
    yield "UTF-16", credential.secret.encode("utf-16-le")
    yield from _encoded("", text)
    if credential.raw is not None:
        yield "its bytes", credential.raw
        yield from _encoded(" of its bytes", credential.raw)


def _encoded(of: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield f"hex{of}", data.hex().encode()
    yield f"hex{of}", data.hex().upper().encode()
    for before in range(3):  # bytes of something else, encoded before it
        for encode in (b64encode, urlsafe_b64encode):
            whole = encode(bytes(before) + data)
            # The first characters hold bits of what stands before; the last ones of what stands after.
            yield f"base64{of}", whole[-(-before * 4 // 3) : (before + len(data)) * 4 // 3]


class Scanner:
    """Knows some credentials."""

    def __init__(self, credentials: Iterable[Credential]) -> None:
        named: dict[bytes, tuple[Kind, str]] = {}
        for credential in credentials:
            for form, needle in forms(credential):
                named.setdefault(needle, (credential.kind, form))
        self._needles = [(kind, form, needle) for needle, (kind, form) in named.items()]
        self._by_word: dict[int, list[int]] = defaultdict(list)
        for number, (kind, form, needle) in enumerate(self._needles):
            if len(needle) < _SHORTEST:
                raise ValueError(f"a {kind} is too short to be looked for ({form})")
            for offset in range(_WORD):
                word = int.from_bytes(needle[offset : offset + _WORD], "little")
                self._by_word[word].append(number)
        self._words = frozenset(self._by_word)

    def scan(self, where: str, data: Data) -> list[Finding]:
        """What stands in the data."""
        with memoryview(data) as view:
            whole = len(view) // _WORD * _WORD
            with view[:whole] as even, even.cast("Q") as words:
                met = self._words.intersection(words)
        candidates = {number for word in met for number in self._by_word[word]}
        found = [self._needles[number] for number in candidates if data.find(self._needles[number][2]) >= 0]
        return sorted({Finding(where, kind, form) for kind, form, _ in found}, key=str)

    def scan_file(self, path: Path) -> list[Finding]:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return []
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return self.scan(str(path), data)


@dataclass(frozen=True, slots=True)
class Report:
    """`scanned` are bytes."""

    credentials: int
    files: int
    scanned: int
    findings: Sequence[Finding]


def scan_files(paths: Iterable[Path], credentials: Iterable[Credential]) -> Report:
    """All of these files, and those below these directories, for all of these credentials."""
    files = [file for path in paths for file in _files(path)]
    known = list(dict.fromkeys(credentials))
    remaining, findings = iter(known), []
    while batch := list(islice(remaining, AT_ONCE)):
        scanner = Scanner(batch)
        findings += [finding for file in files for finding in scanner.scan_file(file)]
    return Report(len(known), len(files), sum(file.stat().st_size for file in files), findings)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(child for child in path.rglob("*") if child.is_file())
    else:
        yield path


class Ledger:
    """Where a process of a test writes down which credentials it was given: a file that is not scanned."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._last: dict[Kind, str] = {}

    def note(self, kind: Kind, text: str) -> None:
        if self._last.get(kind) != text:
            self._last[kind] = text
            self._file.write(msgspec.json.encode(Credential(kind, text)) + b"\n")

    def close(self) -> None:
        self._file.close()


def read_ledgers(directory: Path) -> Iterator[Credential]:
    """What all processes have written down; a last line that was cut off is left out."""
    for path in sorted(directory.iterdir()):
        for line in path.read_bytes().rpartition(b"\n")[0].splitlines():
            yield msgspec.json.decode(line, type=Credential)
