"""How a command of the client does its work: the profile read, the client made; and failures said in one line."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from keybearer.cli.ending import WRONGLY_ASKED, fail, tell
from keybearer.cli.profiles import DEFAULT, Profile, get_profile, read_key, tokens_of
from keybearer.client import (
    ApiKeyRejected,
    Client,
    ConfigurationError,
    NotLoggedIn,
    RefreshUnavailable,
    SessionExpired,
    StoreWarning,
)
from keybearer.errors import KeybearerError, TooManyAttempts, ValidationFailed


def make_client(profile: Profile, api_key: str) -> Client:
    """Raises ConfigurationError."""
    return Client(
        profile.url,
        api_key=api_key,
        origins=profile.origins,
        store=tokens_of(profile),
        insecure_origins=profile.insecure_origins,
    )


@contextmanager
def opened(name: str) -> Iterator[Client]:
    """The client of a profile, for the block. What goes wrong in it ends the command."""
    with explained(name):
        profile = get_profile(name)
        with make_client(profile, read_key(profile)) as client:
            yield client


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what may go wrong with a profile into a message and an exit status."""
    try:
        with _told():
            yield
    except ConfigurationError as error:
        fail(error.detail, WRONGLY_ASKED)
    except KeybearerError as error:
        fail(f"{error.detail} {_what_to_do(error, name)}".rstrip())


def login_again(name: str) -> str:
    """The command that begins a session in this profile."""
    return "keybearer login" if name == DEFAULT else f"keybearer login --profile {name}"


def _what_to_do(error: KeybearerError, name: str) -> str:
    match error:
        case NotLoggedIn() | SessionExpired():
            return f"Run `{login_again(name)}`."
        case ApiKeyRejected():
            return f"`{login_again(name)} --api-key-file FILE` takes another."
        case RefreshUnavailable() | TooManyAttempts():
            return f"Try again in {ceil(error.retry_after)} s."
        case ValidationFailed():
            return " ".join(detail for _, detail in error.problems)
        case _:
            return ""


@contextmanager
def _told() -> Iterator[None]:
    """What the client warns of, as lines of a command."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", StoreWarning)
        warnings.showwarning = lambda message, *_, **__: tell(str(message))
        yield
