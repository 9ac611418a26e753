"""What a proxy does instead of passing a request on: the kinds of faults, which requests they meet, and the gates."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec

Target = Literal["auth", "api", "other"]
"""The service, the example, and the origin that belongs to nobody: each behind a proxy of its own."""


class Action(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What happens to a request that meets a fault. `kind` is its name in JSON."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class Delay(Action, frozen=True, tag="delay"):
    """Passed on after a while."""

    ms: Annotated[float, msgspec.Meta(ge=0)]


class Answer(Action, frozen=True, tag="answer"):
    """Answered here; nobody is asked. `cors` False leaves out the CORS headers that the target would have sent."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    headers: dict[str, str] = {}
    body: str | dict[str, Any] = ""
    cors: bool = True


class Redirect(Action, frozen=True, tag="redirect"):
    """Answered with a redirection to `location`, with CORS headers; nobody is asked."""

    location: str
    status: Annotated[int, msgspec.Meta(ge=300, le=399)] = 307


class DropBefore(Action, frozen=True, tag="drop_before"):
    """The connection is closed; nobody is asked."""


class DropAfter(Action, frozen=True, tag="drop_after"):
    """The target has answered; the connection is reset before anything of it arrives."""


class Truncate(Action, frozen=True, tag="truncate"):
    """The target's answer with its full length announced, half of its body, and a reset."""


class StripCors(Action, frozen=True, tag="strip_cors"):
    """The target's answer without its CORS headers."""


class Hang(Action, frozen=True, tag="hang"):
    """Nothing, until the client goes away; nobody is asked."""


class Gate(Action, frozen=True, tag="gate"):
    """Held until the gate is opened, then passed on."""

    name: str


class GateAfter(Action, frozen=True, tag="gate_after"):
    """The target has answered; the answer is held until the gate is opened."""

    name: str


AnyAction = Delay | Answer | Redirect | DropBefore | DropAfter | Truncate | StripCors | Hang | Gate | GateAfter


class Fault(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """An action, and the requests that it meets: all to the target that have what is given here.

    `path` is compared as a whole and undecoded. `times` is how many requests it meets; None for no end.
    """

    target: Target
    action: AnyAction
    method: str | None = None
    path: str | None = None
    path_prefix: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def meets(self, target: str, method: str, path: str) -> bool:
        """A preflight is met only by a fault that names its method: pages should see the fault, not its preflight."""
        return (
            target == self.target
            and method == (self.method or (method if method != "OPTIONS" else None))
            and path == (self.path or path)
            and path.startswith(self.path_prefix or "")
        )


class Gates:
    """A gate is closed by naming it in a fault. What waits at it goes on when it is opened, and so does what follows.

    Everything happens on one event loop.
    """

    def __init__(self) -> None:
        self._opened: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, int] = {}

    def close(self, name: str) -> None:
        if name not in self._opened or self._opened[name].is_set():
            self._opened[name] = asyncio.Event()

    def open(self, name: str) -> bool:
        """False when there is no such gate."""
        if name not in self._opened:
            return False
        self._opened[name].set()
        return True

    def open_all(self) -> None:
        for opened in self._opened.values():
            opened.set()

    def waiting(self, name: str) -> int | None:
        """How many requests wait there; None when there is no such gate."""
        return self._waiting.get(name, 0) if name in self._opened else None

    async def hold(self, name: str) -> None:
        """Until the gate is opened."""
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            await self._opened[name].wait()
        finally:
            self._waiting[name] -= 1


class Faults:
    """Those that are set, in order."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates
        self._last_id = 0
        self._faults: dict[str, Fault] = {}
        self._left: dict[str, int] = {}

    def add(self, fault: Fault) -> str:
        """Its id."""
        self._last_id += 1
        id = f"f{self._last_id}"
        self._faults[id] = fault
        if fault.times is not None:
            self._left[id] = fault.times
        if isinstance(fault.action, Gate | GateAfter):
            self._gates.close(fault.action.name)
        return id

    def take(self, target: str, method: str, path: str) -> AnyAction | None:
        """What happens to this request: the first fault that meets it, which has then been met once more."""
        for id, fault in self._faults.items():
            if fault.meets(target, method, path):
                self._count(id)
                return fault.action
        return None

    def clear(self) -> None:
        """Remove all, and let go what waits."""
        self._faults.clear()
        self._left.clear()
        self._gates.open_all()

    def _count(self, id: str) -> None:
        if id not in self._left:
            return
        self._left[id] -= 1
        if self._left[id] == 0:
            del self._faults[id], self._left[id]
