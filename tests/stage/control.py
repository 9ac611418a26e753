"""The control API: what tests ask of the stage. Pages may ask too."""

import signal
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeVar

import msgspec
from aiohttp import web

from tests.stage.documents import Command, CommandEnded, Description, StageUser
from tests.stage.faults import Fault, Faults, Gates
from tests.stage.journal import Journal
from tests.stage.processes import StageError
from tests.stage.serving import of_everybody

T = TypeVar("T")

Work = Callable[[web.Request], Awaitable[object]]
"""What an operation does, and the document that it answers with."""


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the service is to be stopped."""

    signal: Literal["TERM", "KILL"] = "TERM"


class Backstage(Protocol):
    """What stands behind the proxies."""

    def describe(self, control: str) -> Description: ...

    async def make_user(self) -> StageUser: ...

    async def run(self, command: Command) -> CommandEnded: ...

    async def start_service(self) -> None:
        """Raises StageError when it is running, or does not start."""

    async def stop_service(self, number: signal.Signals) -> None:
        """Until it has ended."""


class Control:
    def __init__(self, backstage: Backstage, faults: Faults, gates: Gates, journal: Journal) -> None:
        self._backstage = backstage
        self._faults = faults
        self._gates = gates
        self._journal = journal

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_opened])
        for method, path, work in (
            ("GET", "/", self._describe),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/gates/{name}", self._show_gate),
            ("POST", "/gates/{name}/open", self._open_gate),
            ("GET", "/journal", self._show_journal),
            ("DELETE", "/journal", self._clear_journal),
            ("POST", "/users", self._add_user),
            ("POST", "/command", self._run_command),
            ("POST", "/service/stop", self._stop_service),
            ("POST", "/service/start", self._start_service),
        ):
            app.router.add_route(method, path, _answering(work))
        return app

    async def _describe(self, request: web.Request) -> object:
        return self._backstage.describe(f"http://{request.host}")

    async def _add_fault(self, request: web.Request) -> object:
        return {"id": self._faults.add(await _read(request, Fault))}

    async def _clear_faults(self, _request: web.Request) -> object:
        self._faults.clear()
        return {}

    async def _show_gate(self, request: web.Request) -> object:
        waiting = self._gates.waiting(request.match_info["name"])
        if waiting is None:
            raise StageError("No fault has named this gate.")
        return {"waiting": waiting}

    async def _open_gate(self, request: web.Request) -> object:
        if not self._gates.open(request.match_info["name"]):
            raise StageError("No fault has named this gate.")
        return {}

    async def _show_journal(self, _request: web.Request) -> object:
        return self._journal.entries()

    async def _clear_journal(self, _request: web.Request) -> object:
        self._journal.clear()
        return {}

    async def _add_user(self, _request: web.Request) -> object:
        return await self._backstage.make_user()

    async def _run_command(self, request: web.Request) -> object:
        return await self._backstage.run(await _read(request, Command))

    async def _stop_service(self, request: web.Request) -> object:
        stop = await _read(request, Stop)
        await self._backstage.stop_service(signal.Signals[f"SIG{stop.signal}"])
        return {}

    async def _start_service(self, _request: web.Request) -> object:
        await self._backstage.start_service()
        return {}


async def _read(request: web.Request, type: type[T]) -> T:
    """The document that was sent; nothing stands for an empty one. Raises msgspec.ValidationError or DecodeError."""
    return msgspec.json.decode(await request.read() or b"{}", type=type)


def _answering(work: Work) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            status, document = 200, await work(request)
        except msgspec.DecodeError as error:
            status, document = 400, {"error": str(error)}
        except StageError as error:
            status, document = 409, {"error": str(error)}
        return web.Response(status=status, body=msgspec.json.encode(document), content_type="application/json")

    return handler


@web.middleware
async def _opened(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answers preflights, and lets every page read every answer."""
    headers = of_everybody(request.headers)
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=headers)
    response = await handler(request)
    response.headers.update(headers)
    return response
