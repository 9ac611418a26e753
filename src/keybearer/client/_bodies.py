"""Whether the body of a request can be sent twice. What is not known to be so is sent once."""

import io
from typing import Any, Final, Protocol


class Body(Protocol):
    """`in_memory`: it can be sent again as it is."""

    @property
    def in_memory(self) -> bool: ...

    def rewind(self) -> bool:
        """Make it ready to be sent again, byte for byte. False when that cannot be."""


class InMemory:
    in_memory: Final = True

    def rewind(self) -> bool:
        return True


class OneShot:
    """A generator, a pipe, an object that we know nothing of."""

    in_memory: Final = False

    def rewind(self) -> bool:
        return False


class Files:
    """Files that can go back to where they stand now."""

    __slots__ = ("_places",)

    in_memory: Final = False

    def __init__(self, places: list[tuple[Any, int]]) -> None:
        self._places = places

    def rewind(self) -> bool:
        try:
            for file, place in self._places:
                file.seek(place)
        except (OSError, ValueError):  # closed meanwhile, for one
            return False
        return True


IN_MEMORY: Final = InMemory()
ONE_SHOT: Final = OneShot()


def body_of_files(*files: Any) -> Body:
    """The body that these files make up; one of them may be a text or bytes."""
    places = []
    for file in files:
        if isinstance(file, str | bytes):
            continue
        try:
            if not file.seekable():
                return ONE_SHOT
            places.append((file, file.tell()))
        except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
            return ONE_SHOT
    return Files(places) if places else IN_MEMORY
