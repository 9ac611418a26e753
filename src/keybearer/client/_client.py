"""The two clients. A program makes one for each session that it holds."""

from collections.abc import Callable, Collection
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeGuard, TypeVar

from keybearer.client._core import Core
from keybearer.client._errors import ConfigurationError, ServiceUnavailable
from keybearer.client._flights import Flight
from keybearer.client._httpx import make_auth
from keybearer.client._origins import make_origins
from keybearer.client._outcomes import LogoutOutcome
from keybearer.client._record import User
from keybearer.client._secret import SecretText
from keybearer.client._surroundings import REAL
from keybearer.client.stores._contract import AsyncTokenStore, TokenStore
from keybearer.client.stores._memory import MemoryStore

if TYPE_CHECKING:
    from keybearer.client._httpx import KeybearerAuth
    from keybearer.client._operations import Operations
    from keybearer.client._requests import RequestsSession
    from keybearer.wire.documents import OwnSessionAttributes, Resource, TokenAttributes, UserAttributes

Result = TypeVar("Result")


class _Base:
    """What both clients have."""

    __slots__ = ("__weakref__", "_core", "_options", "_service")

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str,
        origins: Collection[str] = (),
        store: TokenStore | AsyncTokenStore | None = None,
        insecure_origins: Collection[str] = (),
    ) -> None:
        """`base_url` is that of the service's API; without a path, the default one. `origins` are where requests may
        take the two headers besides; those over plain http beyond this machine stand in `insecure_origins` too. Without
        a store the session ends with the process.

        ConfigurationError for options that cannot be meant.
        """
        api_key = SecretText(api_key or "")  # from here on no traceback shows it
        _require_key(api_key)
        places = make_origins(base_url, origins, insecure_origins)
        store = MemoryStore() if store is None else store
        self._options = (base_url, api_key, tuple(origins), store, tuple(insecure_origins))
        self._core = Core(places, api_key, self._usable(store), REAL)
        self._service: Operations | None = None

    def __repr__(self) -> str:
        """An error reporter may ask one that could not be made."""
        core: Core | None = getattr(self, "_core", None)
        return f"<{type(self).__name__} of {core.origins.address if core is not None else 'nothing'}>"

    def __reduce__(self) -> tuple[object, ...]:
        """The copy has the session where its store has it."""
        return _make, (type(self), *self._options)

    @property
    def auth(self) -> "KeybearerAuth":
        """For `httpx.Client(auth=…)` and `httpx.AsyncClient(auth=…)`, and those of httpx2."""
        return make_auth(self._core)

    def attach(self, session: "RequestsSession") -> "RequestsSession":
        """The same session of `requests`, whose requests to the origins take the two headers from now on."""
        from keybearer.client import _requests  # noqa: PLC0415 - imports requests

        _requests.attach(self._core, session)
        return session

    def detach(self, session: "RequestsSession") -> None:
        """Leave the session as it was before `attach`."""
        from keybearer.client import _requests  # noqa: PLC0415 - imports requests

        _requests.detach(self._core, session)

    @staticmethod
    def _usable(store: TokenStore | AsyncTokenStore) -> TokenStore:
        raise NotImplementedError

    @property
    def _operations(self) -> "Operations":
        if self._service is None:
            from keybearer.client._operations import Operations  # noqa: PLC0415 - as Core.service

            self._service = Operations(self._core)
        return self._service


class Client(_Base):
    """One user's session with the service, for threads, and for tasks that make their requests with httpx.

        client = Client("https://auth.example.com/v1/api", api_key=…, origins=["https://api.example.com"])
        client.login(username, password)
        httpx.Client(auth=client.auth).get("https://api.example.com/notes")
        client.attach(requests.Session()).get("https://api.example.com/notes")

    Every operation raises the errors of `keybearer.errors` that the service answers with, and ClientError. Threads and
    event loops may share a client.
    """

    __slots__ = ()

    @staticmethod
    def _usable(store: TokenStore | AsyncTokenStore) -> TokenStore:
        if _is_async(store) or not isinstance(store, TokenStore):
            raise ConfigurationError("Client takes a TokenStore; one that is asked with `await` is for AsyncClient.")
        return store

    def login(self, username: str, password: str) -> User:
        """Begin a session. The one before it is not revoked."""
        password = SecretText(password)  # from here on no traceback shows it
        return self._operations.log_in(username, password)

    def logout(self, *, all_devices: bool = False) -> LogoutOutcome:
        """End the session, here whatever the service says; `all_devices`: every session of the user."""
        return self._operations.log_out(all_devices=all_devices)

    def refresh(self) -> None:
        """Get new tokens now. Not needed: requests do it by themselves."""
        self._operations.refresh()

    def access_token(self) -> str:
        """The access token, a new one if it is near its end; for what is sent in another way."""
        return self._operations.access_token()

    def headers_for(self, url: str) -> dict[str, str]:
        """The two headers for a request to this URL; none where they must not go."""
        return self._operations.headers_for(url)

    def inspect(self) -> "Resource[TokenAttributes]":
        """What the service says of the access token."""
        return self._operations.inspect()

    def profile(self) -> "Resource[UserAttributes]":
        return self._operations.profile()

    def sessions(self) -> "list[Resource[OwnSessionAttributes]]":
        """The user's sessions, the newest first."""
        return self._operations.sessions()

    def end_session(self, session_id: str) -> None:
        """End one of them. NotFound when the user has no such session."""
        self._operations.end_session(session_id)

    def end_other_sessions(self) -> None:
        """End all of them but this one."""
        self._operations.end_other_sessions()

    @property
    def user(self) -> User | None:
        """Whose session it is; None when there is none."""
        return self._operations.user()

    @property
    def signed_in(self) -> bool:
        return self.user is not None

    def close(self) -> None:
        """Let a refresh that is under way store its answer. The client can be used again."""
        self._core.settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Base):
    """As Client, for tasks. Whatever blocks is done in threads; to cancel a task ends nothing but its waiting."""

    __slots__ = ()

    @staticmethod
    def _usable(store: TokenStore | AsyncTokenStore) -> TokenStore:
        if _is_async(store):
            from keybearer.client._bridge import BridgedStore  # noqa: PLC0415 - imports asyncio

            return BridgedStore(store)
        if not isinstance(store, TokenStore):
            raise ConfigurationError("AsyncClient takes a TokenStore or an AsyncTokenStore.")
        return store

    async def login(self, username: str, password: str) -> User:
        """As Client.login."""
        password = SecretText(password)  # from here on no traceback shows it
        return await self._do(lambda operations: operations.log_in(username, password))

    async def logout(self, *, all_devices: bool = False) -> LogoutOutcome:
        """As Client.logout."""
        return await self._do(lambda operations: operations.log_out(all_devices=all_devices))

    async def refresh(self) -> None:
        """As Client.refresh."""
        await self._do(lambda operations: operations.refresh())

    async def access_token(self) -> str:
        """As Client.access_token."""
        return await self._do(lambda operations: operations.access_token())

    async def headers_for(self, url: str) -> dict[str, str]:
        """As Client.headers_for."""
        return await self._do(lambda operations: operations.headers_for(url))

    async def inspect(self) -> "Resource[TokenAttributes]":
        """As Client.inspect."""
        return await self._do(lambda operations: operations.inspect())

    async def profile(self) -> "Resource[UserAttributes]":
        """As Client.profile."""
        return await self._do(lambda operations: operations.profile())

    async def sessions(self) -> "list[Resource[OwnSessionAttributes]]":
        """As Client.sessions."""
        return await self._do(lambda operations: operations.sessions())

    async def end_session(self, session_id: str) -> None:
        """As Client.end_session."""
        await self._do(lambda operations: operations.end_session(session_id))

    async def end_other_sessions(self) -> None:
        """As Client.end_other_sessions."""
        await self._do(lambda operations: operations.end_other_sessions())

    @property
    def user(self) -> User | None:
        """Whose session it is, as far as the store has been read: entering the client reads it."""
        record = self._core.known
        return record.session.user if record is not None and record.session is not None else None

    @property
    def signed_in(self) -> bool:
        """As `user`."""
        return self.user is not None

    async def close(self) -> None:
        """As Client.close."""
        await self._do(lambda _: self._core.settle())

    async def _do(self, work: "Callable[[Operations], Result]") -> Result:
        flight: Flight[Result] = Flight(None, ServiceUnavailable)
        flight.start(lambda: work(self._operations), lambda _: None)
        return await flight.join()

    async def __aenter__(self) -> Self:
        await self._core.loading().join()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _require_key(api_key: SecretText) -> None:
    """The checksum tells a key that was cut off or mistyped before anything is sent."""
    from keybearer.credentials.api_key import parse_api_key  # noqa: PLC0415 - imports hashlib

    if not api_key:
        raise ConfigurationError("There is no Api-Key: give the client that of its application.")
    if parse_api_key(api_key) is None:
        raise ConfigurationError(
            "The Api-Key is not one that Keybearer has made (kbp_… or kbs_…): it may be cut off, or hold a line break."
        )


def _is_async(store: object) -> TypeGuard[AsyncTokenStore]:
    return iscoroutinefunction(getattr(store, "read", None))


def _make(kind: type[_Base], base_url: str, api_key: str, *rest: Any) -> _Base:
    origins, store, insecure_origins = rest
    return kind(base_url, api_key=api_key, origins=origins, store=store, insecure_origins=insecure_origins)
