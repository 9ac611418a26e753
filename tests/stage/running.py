"""Puts a stage together: the proxies first, whose addresses the service must know, then what stands behind them."""

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession

from keybearer.server.domain.applications import Lifetimes
from tests.stage.control import Control
from tests.stage.documents import Command, CommandEnded, Description, StageUser
from tests.stage.faults import Faults, Gates
from tests.stage.furnishing import Furnisher, Furniture
from tests.stage.journal import Journal
from tests.stage.pages import Pages, elsewhere
from tests.stage.processes import EXAMPLE, KEYBEARER, Child, StageError, clean_environment, run_command
from tests.stage.proxy import Proxy, Shared, make_session
from tests.stage.serving import HOST, listening, of_everybody, of_origins
from tests.support.ports import free_port

LIFETIME = "KEYBEARER_ACCESS_TOKEN_LIFETIME"
BASE_PATH = "KEYBEARER_BASE_PATH"

DEFAULTS = {
    BASE_PATH: "/v1/api",
    "KEYBEARER_HASH_PER_ADDRESS_LIMIT": "500",
    "KEYBEARER_LIMIT_ADDRESS": "1000000",
    "KEYBEARER_LIMIT_APPLICATION": "1000000",
    "KEYBEARER_LIMIT_NAME_KNOWN": "1000000",
    "KEYBEARER_LIMIT_NAME_UNKNOWN": "1000000",
    "KEYBEARER_SHUTDOWN_GRACE": "1",
}
"""Settings of the service unless a test has others: tests log in more often than people do."""


@dataclass(frozen=True, slots=True)
class Options:
    """`settings` are variables; `home` is where databases and logs lie, `pages` what the two origins of pages serve."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    pages: Path | None = None

    @property
    def lifetimes(self) -> Lifetimes:
        """Those of the applications: an access token of theirs may be shorter than the service's setting allows.

        Raises StageError.
        """
        seconds = self.settings.get(LIFETIME)
        if seconds is not None and not seconds.isdecimal():
            raise StageError(f"{LIFETIME} takes seconds.")
        return Lifetimes(access_token=int(seconds) if seconds is not None else None)


@dataclass(frozen=True, slots=True)
class Front:
    """What clients and browsers reach, and the ports of what stands behind it."""

    auth: str
    api: str
    other: str
    pages: str
    pages2: str
    service_port: int
    example_port: int

    @property
    def origins(self) -> tuple[str, str]:
        """Whose pages may use both applications and the example."""
        return self.pages, self.pages2


async def open_front(stack: AsyncExitStack, shared: Shared, directory: Path | None) -> Front:
    """Listening until the stack is closed."""
    served = Pages(directory)
    pages, pages2 = [await stack.enter_async_context(listening(served.app())) for _ in range(2)]
    service_port, example_port = free_port(), free_port()
    nobody = await stack.enter_async_context(listening(elsewhere()))
    theirs = of_origins((pages, pages2))
    proxies = (
        Proxy("auth", f"http://{HOST}:{service_port}", theirs, shared),
        Proxy("api", f"http://{HOST}:{example_port}", theirs, shared),
        Proxy("other", nobody, of_everybody, shared),
    )
    auth, api, other = [await stack.enter_async_context(listening(proxy.app())) for proxy in proxies]
    served.connect = (auth, api, other)
    return Front(auth, api, other, pages, pages2, service_port, example_port)


class Backstage:
    """The service, the example, and what they know; `start` comes first."""

    def __init__(self, options: Options, front: Front, session: ClientSession) -> None:
        self._options = options
        self._front = front
        self._session = session
        self._environment = _service_environment(options, front)
        self._furnisher = Furnisher(self._environment)
        self._furniture = Furniture()
        service = f"http://{HOST}:{front.service_port}"
        self._service_url = service + self._environment[BASE_PATH]
        self._service = Child(
            (*KEYBEARER, "serve"), self._environment, f"{service}/health/ready", options.home / "service.log"
        )

    async def start(self, stack: AsyncExitStack) -> None:
        """Raises StageError. What runs is stopped when the stack is closed."""
        self._furniture = await self._furnisher.furnish(self._front.origins, self._options.lifetimes)
        for child in (self._service, self._example()):
            stack.push_async_callback(child.stop)
            await child.start(self._session)

    def _example(self) -> Child:
        """It asks the service itself, not the proxy: no fault disturbs its guard, and the journal has only clients."""
        home, port = self._options.home, self._front.example_port
        settings = {
            "NOTES_AUTH_URL": self._service_url,
            "NOTES_GUARD_KEY": self._furniture.guard_key,
            "NOTES_ORIGINS": ",".join(self._front.origins),
            "NOTES_DATABASE": str(home / "notes.db"),
            "NOTES_PORT": str(port),
        }
        environment = {**clean_environment(), **settings}
        return Child((str(EXAMPLE),), environment, f"http://{HOST}:{port}/health", home / "example.log")

    def describe(self, control: str) -> Description:
        front, furniture = self._front, self._furniture
        return Description(
            auth=front.auth,
            api=front.api,
            other=front.other,
            pages=front.pages,
            pages2=front.pages2,
            control=control,
            base_url=front.auth + self._environment[BASE_PATH],
            publishable_key=furniture.publishable_key,
            secret_key=furniture.secret_key,
            other_publishable_key=furniture.other_publishable_key,
            users=furniture.users,
        )

    async def make_user(self) -> StageUser:
        return await self._furnisher.make_user()

    async def run(self, command: Command) -> CommandEnded:
        return await run_command(command, self._environment, self._options.home)

    async def start_service(self) -> None:
        await self._service.start(self._session)

    async def stop_service(self, number: signal.Signals) -> None:
        await self._service.stop(number)


def _service_environment(options: Options, front: Front) -> dict[str, str]:
    return {
        **clean_environment(),
        **DEFAULTS,
        "KEYBEARER_ISSUER": front.auth,
        **{name: value for name, value in options.settings.items() if name != LIFETIME},
        "KEYBEARER_DATABASE": f"sqlite:///{options.home / 'keybearer.db'}",
        "KEYBEARER_HOST": HOST,
        "KEYBEARER_PORT": str(front.service_port),
    }


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Description]:
    """A stage that answers, until the block ends. Raises StageError, SettingsError and AdministrationError."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(make_session())
        gates, journal = Gates(), Journal()
        faults = Faults(gates)
        front = await open_front(stack, Shared(session, faults, gates, journal), options.pages)
        backstage = Backstage(options, front, session)
        await backstage.start(stack)
        control = Control(backstage, faults, gates, journal)
        yield backstage.describe(await stack.enter_async_context(listening(control.app())))
