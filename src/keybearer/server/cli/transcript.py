"""What a tour shows of each step, on a terminal or as JSON. Credentials are shortened before anything is shown."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from keybearer.server.cli.tour_steps import Answer, Step

SHOWN = 8
"""Characters of a credential that are shown: enough to recognise it by, and those of an Api-Key's hint."""

HIDDEN = "••••"

_LOOKS_SECRET = re.compile(r"(?:kb[prs]_|eyJ)[A-Za-z0-9._-]{5,}|[A-Za-z0-9_-]{41,}")
"""Our credentials by their form, and whatever else is too long to be an id or a word."""

_SHORTENED_MEMBERS = frozenset({"accessToken", "refreshToken", "refresh_token", "Api-Key", "Idempotency-Key"})


def shorten(credential: str) -> str:
    """The first characters of a credential, and an ellipsis."""
    return f"{credential[:SHOWN]}…"


class Shortener:
    """Makes values fit to be shown: known credentials by the name of their member, all others by their form."""

    def __init__(self, password: str) -> None:
        self._password = password

    def clean(self, value: Any, name: str = "") -> Any:
        """The same JSON value without a whole credential in it; `name` is that of the member that holds it."""
        match value:
            case dict():
                return {self._text(str(key)): self.clean(item, str(key)) for key, item in value.items()}
            case list() | tuple():
                return [self.clean(item) for item in value]
            case str():
                return self._member(value, name)
            case _:
                return value

    def _member(self, value: str, name: str) -> str:
        if name == "password":
            return HIDDEN
        if name in _SHORTENED_MEMBERS:
            return _printable(shorten(value))
        if name == "Authorization":
            scheme, _, token = value.partition(" ")
            return f"{scheme} {shorten(token)}"
        return self._text(value)

    def _text(self, value: str) -> str:
        if len(self._password) >= SHOWN:
            value = value.replace(self._password, HIDDEN)
        return _printable(_LOOKS_SECRET.sub(lambda match: shorten(match[0]), value))


def _printable(text: str) -> str:
    """Without the characters by which a text could command the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step, shortened. `problem` is what came instead of what was expected."""

    step: int
    title: str
    rules: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    expected: str
    problem: str | None

    def failure(self) -> str:
        return f'Step {self.step}, "{self.title}": expected {self.expected}; came {self.problem}.'


def make_record(number: int, step: Step, path: str, answer: Answer, shortener: Shortener) -> StepRecord:
    """The record of a step; `path` is the request's with the base path."""
    request = step.request
    sent = {"method": request.method, "path": path, "headers": shortener.clean(request.headers())}
    if request.body is not None:
        sent["body"] = shortener.clean(dict(request.body))
    problem = step.problem(answer)
    return StepRecord(
        step=number,
        title=step.title,
        rules=step.rules,
        request=sent,
        answer={"status": answer.status, "body": shortener.clean(answer.document)},
        expected=step.expected(),
        problem=None if problem is None else shortener.clean(problem),
    )


class Transcript:
    """Shows records on a terminal, or on whatever stdout is: without colours, and without breaking lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._highlight = JSONHighlighter()

    def show(self, record: StepRecord) -> None:
        request, answer = record.request, record.answer
        self._line(f"\n{record.step:>2}. {record.title}", "bold", f"  ({record.rules})")
        self._line(f"    {request['method']} {request['path']}", "cyan")
        for name, value in request["headers"].items():
            self._line(f"    {name}: {value}")
        if "body" in request:
            self._json(request["body"], indent=None)
        self._line(f"    → {answer['status']}", "green" if answer["status"] < 400 else "yellow")
        self._json(answer["body"], indent=2)
        if record.problem is None:
            self._line(f"    ✓ {record.expected}", "green")
        else:
            self._line(f"    ✗ expected: {record.expected}", "red")
            self._line(f"      came:     {record.problem}", "red")

    def _json(self, value: Any, *, indent: int | None) -> None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=indent)
        shown = self._highlight(Text("\n".join(f"    {line}" for line in text.splitlines())))
        self._console.print(shown, soft_wrap=True)

    def _line(self, text: str, style: str = "", rest: str = "") -> None:
        self._console.print(Text(text, style).append(rest, "dim"), soft_wrap=True)
