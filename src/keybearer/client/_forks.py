"""The child of a fork has copies of its parent's locks, which nobody there will ever release."""

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    def renew(self) -> None:
        """Make new locks, and forget what only the parent's threads can finish."""


_renewables: WeakSet[Renewable] = WeakSet()


def renew_after_fork(renewable: Renewable) -> None:
    """From now on `renewable.renew` is called in every child, before anything else runs there."""
    _renewables.add(renewable)


def _renew_all() -> None:
    for renewable in _renewables:
        renewable.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
