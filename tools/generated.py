"""What the generators share: a file is written, or compared with what would be written (`--check`)."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(path: str, text: str, *, generator: str, arguments: list[str] | None = None) -> None:
    """Write `text` to `path` (relative to the repository), or exit with a message when the file differs from it."""
    parser = argparse.ArgumentParser(description=f"Write {path}.")
    parser.add_argument("--check", action="store_true", help="only say whether the file is up to date")
    target = ROOT / path
    if not parser.parse_args(arguments).check:
        target.write_text(text, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        sys.exit(f"{path} is not what {generator} writes: run `make generate`")
