"""What the stage says about itself over its control API."""

import msgspec


class StageUser(msgspec.Struct, frozen=True):
    """Somebody who can log in."""

    username: str
    password: str
    id: str

    def __repr__(self) -> str:
        return f"StageUser({self.username!r})"


class Description(msgspec.Struct, frozen=True, rename="camel"):
    """Where everything is, without a slash at the end, and what it can be used with.

    `other_publishable_key` is that of a second application. The pages of `pages` and `pages2` may use both.
    """

    auth: str
    api: str
    other: str
    pages: str
    pages2: str
    control: str
    base_url: str = msgspec.field(name="baseURL")
    publishable_key: str
    secret_key: str
    other_publishable_key: str
    users: tuple[StageUser, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.control!r})"


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `keybearer` command to run against the service's database."""

    arguments: tuple[str, ...]
    stdin: str = ""


class CommandEnded(msgspec.Struct, frozen=True):
    """How it ended."""

    status: int
    stdout: str
    stderr: str
