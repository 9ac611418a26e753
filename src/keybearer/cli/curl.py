"""`keybearer curl`."""

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from keybearer.cli.ending import FAILED, WRONGLY_ASKED, fail
from keybearer.cli.importing import make_app
from keybearer.cli.profiles import DEFAULT, ProfileName
from keybearer.cli.working import login_again, opened
from keybearer.client import Client

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
"""RFC 9110 section 5.1 and 5.5."""

Header = tuple[bytes, bytes]

FORM: Final = (b"Content-Type", b"application/x-www-form-urlencoded")


def parse_header(text: str) -> Header:
    """The name and the value of `Name: value`."""
    match = _HEADER.fullmatch(text)
    if match is None:
        raise typer.BadParameter("takes `Name: value`, on one line.")
    return match[1].encode(), match[2].rstrip().encode()


app = make_app()


@app.command("curl")
def curl(
    url: Annotated[str, typer.Argument(metavar="URL", help="As https://api.example.com/notes.")],
    *,
    method: Annotated[
        str | None, typer.Option("--request", "-X", metavar="METHOD", help="GET by default, or POST with --data.")
    ] = None,
    headers: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="HEADER", help="As `Name: value`; repeatable.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="DATA", help="The body; @FILE: a file's, @-: that of stdin.")
    ] = None,
    include: Annotated[
        bool, typer.Option("--include", "-i", help="Print status and headers of the answer too.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write the answer, instead of stdout."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show on stderr what is sent and answered, without credentials.")
    ] = False,
    profile: ProfileName = DEFAULT,
) -> None:
    """Make a request with both credentials: to the service and the origins of the login only. A token that has expired
    is refreshed, and the request made once more.

    Ends with 0 for an answer below 400, with 1 for any other.
    """
    from keybearer.cli.transfer import Order, transfer  # noqa: PLC0415 - imports httpx2

    given = [parse_header(header) for header in headers or ()]
    if data is not None and not any(name.lower() == b"content-type" for name, _ in given):
        given.append(FORM)
    order = Order(
        method or ("GET" if data is None else "POST"), url, given, data, include=include, output=output, verbose=verbose
    )
    with opened(profile) as client:
        _require_allowed(url, client, profile)
        status = transfer(order, client)
    if status >= 400:
        raise typer.Exit(FAILED)


def _require_allowed(url: str, client: Client, profile: str) -> None:
    """Elsewhere nothing is sent at all: without its credentials a request is not what was asked for."""
    origin = _origin_of(url)
    if origin is None:
        fail("Give an absolute URL, as https://api.example.com/notes.", WRONGLY_ASKED)
    if not client.headers_for(url):
        fail(
            f"{origin} is none of the origins of this login, so nothing was sent. To allow it: `{login_again(profile)} "
            f"--origin {origin}`, with all the others; for a request without credentials there is curl.",
            WRONGLY_ASKED,
        )


def _origin_of(url: str) -> str | None:
    """Without a user's name or password. None for what is no URL of http."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" if port is None else f"{parts.scheme}://{host}:{port}"
