"""`keybearer demo`: a service on this machine, with an application and a user in it; the tour; the examples; lines to
try it by.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from keybearer.cli.importing import make_app
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.cli.demo_examples import NOTES_PORT, Examples, running_examples
from keybearer.server.cli.demo_service import HOST, DemoError, DemoProcess, Home, check_port, make_service, running
from keybearer.server.cli.demo_setup import BASE_PATH, PAGE_PORT, Furnisher, Furniture
from keybearer.server.cli.tour import Place, make_visitor, take_tour, tell, tolerate_encoding
from keybearer.server.cli.transcript import Transcript

INTERRUPTED = 130
"""The status of a command that Ctrl-C ended before it was done (128 + SIGINT)."""


app = make_app()


@app.command("demo", hidden=True)
def demo(
    *,
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its database and what it made.")] = Path(".demo"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the service listens, on 127.0.0.1.")] = 8100,
    examples: Annotated[
        Path | None, typer.Option(help="The examples of the repository: the notes service and the page run too.")
    ] = None,
    notes_port: Annotated[int, typer.Option(min=1, max=65535, help="Where the notes service listens.")] = NOTES_PORT,
    page_port: Annotated[int, typer.Option(min=1, max=65535, help="Where the page is.")] = PAGE_PORT,
    once: Annotated[bool, typer.Option("--once", envvar="DEMO_ONCE", help="End after the tour.")] = False,
) -> None:
    """Start a service on this machine, make an application and a user, take the tour, and stay until Ctrl-C.

    Everything lies in the data directory; remove it to begin anew. A second start finds what the first one made.
    """
    tolerate_encoding()
    try:
        with _ended_by_signals():
            found = Examples(examples.resolve(), notes_port, page_port) if examples else None
            status = _run(Home(data_dir), port, found, once=once)
    except DemoError as error:
        print(error, file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted.", file=sys.stderr)
        status = INTERRUPTED
    raise typer.Exit(status)


def _run(home: Home, port: int, examples: Examples | None, *, once: bool) -> int:
    """The exit status."""
    url = f"http://{HOST}:{port}"
    with home.held():
        print(f"The data is in {home.path}, the service's log in {home.log('service')}.", flush=True)
        check_port("service", port, "--port")
        with running(home, make_service(home, port)) as service:
            print(f"The service is ready at {url}.", flush=True)
            furnisher = Furnisher(home, url, SystemRandomness().bytes)
            furniture = furnisher.furnish(service, examples.page_port if examples else None)
            if not _take_tour(url, furniture):
                return 1
            print(describe(url, furniture), flush=True)
            if not once:
                with running_examples(home, url, furniture, examples) if examples else nullcontext():
                    _stay(service)
    return 0


def _take_tour(url: str, furniture: Furniture) -> bool:
    """Whether all was as expected."""
    console = Console(highlight=False)
    visitor = make_visitor(furniture.publishable_key, furniture.username, furniture.password)
    outcome = take_tour(Place(url, BASE_PATH), visitor, Transcript(console).show)
    tell(console, outcome)
    return outcome.failure is None


def _stay(service: DemoProcess) -> None:
    """Until a signal ends the demo. Raises DemoError when the service ends by itself."""
    try:
        print("The service goes on running. Ctrl-C ends it.", flush=True)
        service.wait()
    except KeyboardInterrupt:
        print("\nStopping the service.", flush=True)


def describe(url: str, furniture: Furniture) -> str:
    """What there is to try, and lines to paste into a second terminal; they need curl and python3."""
    base = url + BASE_PATH
    return f"""
Application   {furniture.application_id}
  publishable key   {furniture.publishable_key}
  secret key        {furniture.secret_key}
  guard key         {furniture.guard_key}
User          {furniture.username}
  password          {furniture.password}

Log in        POST {base}/oauth/token
Token info    GET  {base}/oauth/token/info
Public keys   GET  {url}/.well-known/jwks.json
OpenAPI       GET  {url}/openapi.json
Health        GET  {url}/health/ready

To paste into a second terminal: log in, token info, refresh, revoke, and the token info that is refused then.

{_lines(base, furniture)}
"""


def _lines(base: str, furniture: Furniture) -> str:
    """Commands for any POSIX shell, one a line. Keys and password are of the base64url alphabet: no quoting needed."""
    take = 'python3 -c \'import json, sys; print(json.load(sys.stdin)["data"]["attributes"][sys.argv[1]])\''
    login = f'{{"username": "{furniture.username}", "password": "{furniture.password}"}}'
    key, json, bearer = (
        '-H "Api-Key: $KEY"',
        '-H "Content-Type: application/json"',
        '-H "Authorization: Bearer $ACCESS"',
    )
    return "\n".join(
        [
            f"BASE={base}",
            f"KEY={furniture.publishable_key}",
            f"SESSION=$(curl -sS $BASE/oauth/token {key} {json} -d '{login}')",
            f'ACCESS=$(printf %s "$SESSION" | {take} accessToken)',
            f'REFRESH=$(printf %s "$SESSION" | {take} refreshToken)',
            f'curl -sS $BASE/oauth/token/info {key} {bearer} -w "\\n"',
            f'curl -sS $BASE/oauth/token/refresh {key} {json} -d "{{\\"refresh_token\\": \\"$REFRESH\\"}}" -w "\\n"',
            f'curl -sS -X POST $BASE/oauth/token/revoke {key} {bearer} -w "\\n"',
            f'curl -sS $BASE/oauth/token/info {key} {bearer} -w "\\n"',
        ]
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and a terminal that closes raise KeyboardInterrupt until the block ends."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
