"""Requirements as decorators take them, and as they stand on a view that is guarded before it is called."""

from collections.abc import Callable, Collection
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar, cast

from keybearer.guard import OnStale, Requirements

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE: Final = "keybearer_requirements"


def make_requirements(
    roles: Collection[str], scopes: Collection[str], *, optional: bool, on_stale: OnStale | None
) -> Requirements:
    """Raises what Requirements raises, which makes sets of other collections by itself and refuses a mere text."""
    sets = {"roles": cast("frozenset[str]", roles), "scopes": cast("frozenset[str]", scopes)}
    return Requirements(**sets, optional=optional, on_stale=on_stale)


def mark(view: View, requirements: Requirements | None) -> View:
    """Write on a view what it requires; None for nothing. `functools.wraps` hands it on to what wraps the view."""
    setattr(view, _ATTRIBUTE, requirements)
    return view


def requirements_of(view: Callable[..., Any], default: Requirements | None) -> Requirements | None:
    """What a view requires."""
    found: Requirements | None = getattr(view, _ATTRIBUTE, default)
    return found


def unguarded(view: View) -> View:
    """Let everyone call this view, whose caller is None then. The view itself, used elsewhere, stays as it is."""

    @wraps(view)
    def unguarded_view(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    @wraps(view)
    async def unguarded_async_view(*args: Any, **kwargs: Any) -> Any:
        return await view(*args, **kwargs)

    return cast(View, mark(unguarded_async_view if iscoroutinefunction(view) else unguarded_view, None))
