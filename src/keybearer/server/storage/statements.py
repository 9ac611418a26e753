"""How an operation on a database is written down: as a generator without I/O.

It yields statements, is sent the rows of each, and returns its outcome. A runner (one per database) performs it. It may
be started again from the beginning (a deadlock, a batch with a failing member), so it changes nothing but the database.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, ParamSpec, Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")
P = ParamSpec("P")


class Row(Protocol):
    """One row of an answer, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


Rows = Sequence[Row]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: `$1` in `sql` is the first of `args`."""

    sql: str
    args: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same statement once for each of `rows_of_args`; answers no rows."""

    sql: str
    rows_of_args: Sequence[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Shared:
    """A statement for any number of members at once. Its first arguments are lists with an element for each member, the
    last ones, `common`, the same for all; the rows that it answers name their member in the column `id`.

    `at_once` waits for no lock that another transaction holds: for members that would have to wait it does nothing, and
    answers no row. `patiently` does the same work and waits. `step_by_step` does it for a database that has neither
    (SQLite): it is given the arguments of each member, and the common ones.
    """

    at_once: str
    patiently: str
    step_by_step: "Callable[[Sequence[tuple[object, ...]], tuple[object, ...]], Steps[Rows]]"
    common: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """What one member brings to a statement, and the key by which the rows name it. Members with one key never share
    one."""

    statement: Shared
    key: UUID
    args: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Combined:
    """The same work in two ways: one statement with changes in its WITH, which saves round trips and holds locks for a
    shorter time, or steps for a database that has no such statements (SQLite). Both answer the same rows."""

    at_once: Statement
    step_by_step: Callable[[], "Steps[Rows]"]


Step = Statement | Repeat | Combined | Share
Steps = Generator[Step, Rows, T]


class Access(Enum):
    """What an operation needs of the database."""

    READ = "read"
    """Statements that change nothing, each on its own."""
    LOOKUP = "lookup"
    """As READ, for strangers who may come by the thousand: statements that they share."""
    SNAPSHOT = "snapshot"
    """Statements that change nothing and all see the database at one point in time."""
    SINGLE = "single"
    """Statements that change something, each complete in itself: one round trip, committed with it."""
    ADMISSION = "admission"
    """As SINGLE, for such strangers: never on all connections at once, which others need."""
    TRANSACTION = "transaction"
    """Statements that take effect together."""
    BULK = "bulk"
    """The same, over so many rows that they may take minutes."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    access: Access
    start: Callable[[], Steps[T]]


def operation(access: Access) -> Callable[[Callable[P, Steps[T]]], Callable[P, Operation[T]]]:
    """Makes a generator function one that answers operations."""

    def decorate(steps: Callable[P, Steps[T]]) -> Callable[P, Operation[T]]:
        def prepare(*args: P.args, **kwargs: P.kwargs) -> Operation[T]:
            return Operation(access, lambda: steps(*args, **kwargs))

        prepare.__name__ = steps.__name__
        prepare.__doc__ = steps.__doc__
        return prepare

    return decorate


class Runner(Protocol):
    async def run(self, operation: Operation[T], /) -> T:
        """Perform an operation and answer its outcome. Raises `errors.StorageUnavailable`."""
