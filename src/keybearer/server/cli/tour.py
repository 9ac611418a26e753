"""`keybearer tour`: walks the flow of the reference document against a running service, and checks every answer."""

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx2
import typer
from rich.console import Console

from keybearer.base64url import encode_base64url
from keybearer.cli.importing import make_app
from keybearer.credentials.alphabet import is_in_alphabet
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.cli.tour_steps import Answer, Request, Visitor, walk
from keybearer.server.cli.transcript import Shortener, StepRecord, Transcript, make_record
from keybearer.server.settings import is_loopback

TIMEOUT = 30.0
"""Seconds for one answer; a login may wait for others' password hashes."""

MAX_TEXT = 500
"""Characters that are kept of an answer that is no JSON."""


_AGENT = {"User-Agent": "keybearer-tour"}


class ServiceUnreachable(Exception):
    """Nothing answered; the message is one line that says what to do."""


@dataclass(slots=True)
class Outcome:
    """How a tour went: the records of its steps, and why it ended early if it did."""

    records: list[StepRecord] = field(default_factory=list)
    failure: str | None = None

    def summary(self) -> str:
        if self.failure is not None:
            return f"The tour ended early. {self.failure}"
        return f"The tour is complete: {len(self.records)} steps, all as expected."


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API is: `url` without a slash at its end, and the base path."""

    url: str
    base_path: str

    def open(self) -> httpx2.Client:
        """A client; proxies of the environment are for other machines than this one."""
        local = is_loopback(urlsplit(self.url).hostname or "")
        return httpx2.Client(base_url=self.url, timeout=TIMEOUT, trust_env=not local, headers=_AGENT)


def take_tour(place: Place, visitor: Visitor, show: Callable[[StepRecord], None]) -> Outcome:
    """Walk until the end or the first step that is not as expected; `show` is told of every step as it happens."""
    outcome = Outcome()
    shortener = Shortener(visitor.password)
    steps = walk(visitor)
    with place.open() as client:
        try:
            step = next(steps)
            while outcome.failure is None:
                path = place.base_path + step.request.path
                answer = _send(client, path, step.request)
                record = make_record(len(outcome.records) + 1, step, path, answer, shortener)
                outcome.records.append(record)
                show(record)
                if record.problem is not None:
                    outcome.failure = record.failure()
                else:
                    step = steps.send(answer)
        except StopIteration:
            pass
        except ServiceUnreachable as error:
            outcome.failure = str(error)
    return outcome


def make_visitor(api_key: str, username: str, password: str) -> Visitor:
    """Who walks, with an Idempotency-Key of their own."""
    return Visitor(api_key, username, password, encode_base64url(SystemRandomness().bytes(24)))


def _send(client: httpx2.Client, path: str, request: Request) -> Answer:
    body = None if request.body is None else dict(request.body)
    try:
        answer = client.request(request.method, path, headers=request.headers(), json=body)
    except httpx2.TimeoutException:
        raise ServiceUnreachable(f"{client.base_url} did not answer {path} within {TIMEOUT:.0f} s.") from None
    except (httpx2.RequestError, httpx2.InvalidURL):
        raise ServiceUnreachable(
            f"Nothing answers at {client.base_url}. Start the service with `keybearer serve`, or name it with --url."
        ) from None
    return Answer(answer.status_code, _document(answer))


def _document(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return answer.text[:MAX_TEXT]


app = make_app()


@app.command("tour")
def tour(
    *,
    url: Annotated[str, typer.Option(help="Where the service answers.")] = "http://127.0.0.1:8100",
    base_path: Annotated[str, typer.Option(help="What stands before the paths of the API.")] = "/v1/api",
    api_key: Annotated[
        str | None, typer.Option(envvar="KEYBEARER_TOUR_API_KEY", help="The application's key.", show_envvar=True)
    ] = None,
    username: Annotated[str | None, typer.Option(help="The email address or the phone number to log in with.")] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Walk the whole flow against a running service, from login to logout, and check every answer.

    Ends with 0 when every answer was as expected, and with 1 at the first that was not. Logs in as the user, once with
    a wrong password, and logs out again. Credentials are shown shortened.
    """
    place = Place(_check_url(url), _check_base_path(base_path))
    may_ask = sys.stdin.isatty() and not password_stdin
    key = _check_key(api_key or _ask("Api-Key", "--api-key", may_ask=may_ask))
    name = _check_text(username or _ask("Username", "--username", may_ask=may_ask), "--username")
    password = _read_password() if password_stdin else _ask("Password", "--password-stdin", may_ask=may_ask, hide=True)
    tolerate_encoding()
    console = Console(highlight=False)
    show = _show_nothing if as_json else Transcript(console).show
    outcome = take_tour(place, make_visitor(key, name, _check_text(password, "the password")), show)
    if as_json:
        print(json.dumps(_report(place, outcome), ensure_ascii=False))
    else:
        tell(console, outcome)
    raise typer.Exit(0 if outcome.failure is None else 1)


def tell(console: Console, outcome: Outcome) -> None:
    """The last line of a tour."""
    console.print()
    console.print(
        outcome.summary(), style="bold green" if outcome.failure is None else "bold red", markup=False, soft_wrap=True
    )


def tolerate_encoding() -> None:
    """Let a terminal that knows no `…` show something else instead of ending the command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _show_nothing(record: StepRecord) -> None:
    """For the JSON report, which is printed in one piece."""


def _report(place: Place, outcome: Outcome) -> dict[str, Any]:
    return {
        "url": place.url,
        "basePath": place.base_path,
        "complete": outcome.failure is None,
        "failure": outcome.failure,
        "steps": [asdict(record) for record in outcome.records],
    }


def _check_url(url: str) -> str:
    try:
        scheme, host, _ = _parts(url)
    except ValueError:
        raise typer.BadParameter("--url takes an http(s) address, such as http://127.0.0.1:8100.") from None
    if scheme == "http" and not is_loopback(host):
        typer.echo("Warning: over plain http to another machine, the credentials travel in clear.", err=True)
    return url.rstrip("/")


def _parts(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address without user, query and fragment. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or set(url) & set("@?# "):
        raise ValueError(url)
    return parts.scheme, parts.hostname, parts.port


def _check_base_path(path: str) -> str:
    if path and not re.fullmatch(r"(/[A-Za-z0-9._-]+)*/?", path):
        raise typer.BadParameter("--base-path takes a path, such as /v1/api.")
    return path.rstrip("/")


def _check_key(key: str) -> str:
    if not is_in_alphabet(key):
        raise typer.BadParameter("--api-key takes a key: letters, digits, dots, hyphens and underscores only.")
    return key


def _check_text(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{what} is not UTF-8.") from None
    return text


def _ask(label: str, option: str, *, may_ask: bool, hide: bool = False) -> str:
    """What the user types; without a terminal to ask on, the name of the option is the answer."""
    if not may_ask:
        raise typer.BadParameter(f"{option} is needed when there is no terminal to ask on.")
    answer: str = typer.prompt(label, hide_input=hide, err=True)
    return answer


def _read_password() -> str:
    try:
        password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise typer.BadParameter("The password on stdin is not UTF-8.") from None
    if not password:
        raise typer.BadParameter("--password-stdin: there is no password on stdin.")
    return password
