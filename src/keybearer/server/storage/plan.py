"""What changes the tables, and how that fails."""

from collections.abc import Callable, Sequence

Plan = Callable[[str | None], Sequence[str]]
"""From the current revision to the statements that are to be run."""


class TablesInUse(Exception):
    """Something reads a table for minutes. Nothing was migrated."""
