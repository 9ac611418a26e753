"""One request of `keybearer curl`, and its answer as it arrives."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

import httpx2

from keybearer import __version__
from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.client import Client
from keybearer.outgoing.address import is_loopback

_CONNECT: Final = 30.0
"""Seconds; an answer may take as long as it wants, and whoever waits can end the command."""

_DEFAULTS: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"keybearer/{__version__}"}

_SECRET: Final = frozenset({b"api-key", b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"})


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for, in curl's words."""

    method: str
    url: str
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    data: str | None = field(repr=False)
    include: bool
    output: Path | None
    verbose: bool


def transfer(order: Order, client: Client) -> int:
    """The status of the answer, which has been written. Ends the command when there is none."""
    try:
        with ExitStack() as stack:
            body = _open_body(order.data, stack)
            http = stack.enter_context(_make_http(order))
            answer = stack.enter_context(
                http.stream(order.method, order.url, headers=order.headers, content=body, auth=client.auth)
            )
            _write(answer, order, _open_output(order.output, stack))
            return answer.status_code
    except httpx2.InvalidURL:
        fail("That is not a URL.", WRONGLY_ASKED)
    except httpx2.HTTPError as error:
        fail(_describe(error))
    except BrokenPipeError:
        raise  # whoever reads the answer has seen enough
    except OSError as error:
        fail(f"The body could not be read, or the answer not be written: {error.strerror}.")


def _make_http(order: Order) -> httpx2.Client:
    """Proxies of the environment are for other machines than this one."""
    local = is_loopback(urlsplit(order.url).hostname or "")
    http = httpx2.Client(headers=_DEFAULTS, timeout=httpx2.Timeout(None, connect=_CONNECT), trust_env=not local)
    if order.verbose:
        http.event_hooks = {"request": [_show_request], "response": [_show_answer]}
    return http


def _open_body(data: str | None, stack: ExitStack) -> bytes | BinaryIO | None:
    """A file is read while it is sent, and once more for the second try."""
    if data is None or not data.startswith("@"):
        return data if data is None else data.encode()
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return stack.enter_context(Path(data[1:]).open("rb"))
    except OSError as error:
        fail(f"{data[1:]} cannot be read: {error.strerror}.", WRONGLY_ASKED)


def _open_output(path: Path | None, stack: ExitStack) -> BinaryIO:
    if path is None:
        return sys.stdout.buffer
    try:
        return stack.enter_context(path.open("wb"))
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.", WRONGLY_ASKED)


def _write(answer: httpx2.Response, order: Order, file: BinaryIO) -> None:
    """Each piece as soon as it is there."""
    if order.include:
        lines = [_status_line(answer), *(b"%b: %b" % header for header in answer.headers.raw), b"", b""]
        file.write(b"\r\n".join(lines))
        file.flush()
    for piece in answer.iter_bytes():
        file.write(piece)
        file.flush()


def _show_request(request: httpx2.Request) -> None:
    _show(b">", f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode(), request.headers.raw)


def _show_answer(answer: httpx2.Response) -> None:
    _show(b"<", _status_line(answer), answer.headers.raw)


def _show(mark: bytes, first: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    lines = [first, *(b"%b: %b" % (name, _shown(name, value)) for name, value in headers), b""]
    sys.stderr.buffer.write(b"".join(b"%b %b\n" % (mark, line) for line in lines))
    sys.stderr.buffer.flush()


def _shown(name: bytes, value: bytes) -> bytes:
    return b"[secure]" if name.lower() in _SECRET else value


def _status_line(answer: httpx2.Response) -> bytes:
    return f"{answer.http_version} {answer.status_code} {answer.reason_phrase}".encode()


def _describe(error: httpx2.HTTPError) -> str:
    """The library's own words may quote a header."""
    match error:
        case httpx2.ConnectError():
            return "Nothing answers there, or not with a certificate that can be trusted."
        case httpx2.TimeoutException():
            return f"There was no connection in {_CONNECT:.0f} s."
        case _:
            return f"The exchange ended before the whole answer was there ({type(error).__name__})."
