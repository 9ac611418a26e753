"""The code of docs/integrations: what a page tells people to write is what the tests run."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "docs" / "integrations"
_BLOCK = re.compile(r"^```python\n# (?P<name>[a-z_]+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> dict[str, str]:
    """The files of a page, by their names, which stand in the first line of each."""
    return {match["name"]: match["code"] for match in _BLOCK.finditer((PAGES / page).read_text())}


def write(pages: tuple[str, ...], directory: Path) -> None:
    """Write the files of these pages into a directory."""
    directory.mkdir(parents=True)
    for page in pages:
        for name, code in blocks_of(page).items():
            (directory / name).write_text(code)


@contextmanager
def imported(directory: Path, name: str) -> Iterator[ModuleType]:
    """A module of the directory, whose neighbours it may import by name, until the block ends."""
    neighbours = {path.stem for path in directory.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in neighbours & sys.modules.keys()}
    sys.path.insert(0, str(directory))
    try:
        importlib.invalidate_caches()
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(directory))
        for neighbour in neighbours:
            sys.modules.pop(neighbour, None)
        sys.modules.update(before)
