"""What operators do to applications, keys, users and sessions. The command line is the one that asks.

Things are named as people name them: an application by name or id, a user by email, phone or id.
"""

import re
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass
from uuid import UUID

from keybearer.credentials.api_key import HINT_LENGTH, ApiKeyKind, hash_api_key, make_api_key
from keybearer.credentials.api_key import RANDOM_BYTES as KEY_RANDOM_BYTES
from keybearer.server.domain.api_keys import PERMISSIONS, ApiKey
from keybearer.server.domain.applications import Application, ApplicationKind, Lifetimes
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.ids import RANDOM_BYTES, uuid7
from keybearer.server.domain.passwords import PasswordRefused, check_new_password
from keybearer.server.domain.sessions import Ended, EndReason, EndRefused, SessionView
from keybearer.server.domain.users import (
    InvalidIdentifier,
    NewUser,
    User,
    UserStatus,
    normalise_email,
    normalise_identifier,
    normalise_phone,
)
from keybearer.server.ports import IdentifierTaken, PasswordHasher, Randomness, Storage

MAX_NAME_LENGTH = 100
"""Characters of a name of an application or a person."""

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?P<port>:[1-9][0-9]{0,4})?"
)
_LOOPBACK = re.compile(r"(?:.+\.)?localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")


class AdministrationError(Exception):
    """What was asked for cannot be done; the message says why and what can, for the person who asked."""


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key with its text, which is nowhere kept."""

    key: ApiKey
    text: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who a new user is, as it was typed."""

    email: str
    first_name: str
    last_name: str
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Administration:
    """`common_passwords` holds those that nobody may have, in lower case; `actor` is who asks, for the audit trail.

    Every method may raise AdministrationError, and StorageUnavailable.
    """

    storage: Storage
    hasher: PasswordHasher
    randomness: Randomness
    common_passwords: Container[str]
    actor: Actor

    async def create_application(
        self, name: str, kind: ApplicationKind, origins: Sequence[str], lifetimes: Lifetimes
    ) -> tuple[Application, CreatedKey]:
        """An application with its first key: publishable for a browser application, secret for a service."""
        name = _check_name(name, "an application's name")
        if await self._named(name):
            raise AdministrationError(f"There is an application named {name!r} already; choose another name.")
        now = await self.storage.now()
        application = Application(
            id=self._new_id(now),
            name=name,
            kind=kind,
            origins=tuple(dict.fromkeys(map(normalise_origin, origins))),
            created_at=now,
            lifetimes=_check_lifetimes(lifetimes),
        )
        await self.storage.applications.create(application, self.actor)
        return application, await self._create_key(application, _first_kind(kind), frozenset(), None)

    async def get_application(self, name_or_id: str) -> Application:
        id = _parse_id(name_or_id)
        application = await self.storage.applications.find(id) if id is not None else None
        named = [application] if application is not None else await self._named(name_or_id)
        if not named:
            raise AdministrationError(
                f"There is no application {name_or_id!r}; `keybearer applications list` shows those that there are."
            )
        if len(named) > 1:
            raise AdministrationError(f"{len(named)} applications are named {name_or_id!r}; give the id of one.")
        return named[0]

    async def set_application_enabled(self, name_or_id: str, *, enabled: bool) -> Application:
        """Disabling ends all sessions of the application; enabling restores none."""
        application = await self.get_application(name_or_id)
        changed = await self.storage.applications.set_enabled(application.id, enabled, self.actor)
        return changed or application

    async def create_key(
        self, name_or_id: str, kind: ApiKeyKind | None, permissions: Collection[str], expires_in: int | None
    ) -> CreatedKey:
        """A further key. `kind` None takes the one that suits the application; `expires_in` is in seconds."""
        application = await self.get_application(name_or_id)
        kind = kind or (ApiKeyKind.SECRET if permissions else _first_kind(application.kind))
        unknown = frozenset(permissions) - PERMISSIONS
        if unknown:
            raise AdministrationError(f"The permissions are {', '.join(sorted(PERMISSIONS))}.")
        if permissions and kind is ApiKeyKind.PUBLISHABLE:
            raise AdministrationError("A publishable key gives no authority; permissions need `--kind secret`.")
        return await self._create_key(application, kind, frozenset(permissions), expires_in)

    async def list_keys(self, name_or_id: str | None) -> Sequence[ApiKey]:
        application = await self.get_application(name_or_id) if name_or_id is not None else None
        return await self.storage.api_keys.list_keys(application.id if application is not None else None)

    async def revoke_key(self, key_id: str) -> ApiKey:
        id = _parse_id(key_id)
        key = await self.storage.api_keys.revoke(id, self.actor) if id is not None else None
        if key is None:
            raise AdministrationError("There is no key with this id; `keybearer keys list` shows those that there are.")
        return key

    async def create_user(self, person: Person, password: str) -> User:
        person = _check_person(person)
        self._check_password(password, person.email, person.phone, person.first_name, person.last_name)
        return await self._insert_user(person, await self.hasher.hash(password))

    async def import_user(self, person: Person, password_hash: str) -> User:
        """A user with a hash from another system, which the caller has found to be supported."""
        return await self._insert_user(_check_person(person), password_hash)

    async def get_user(self, name_or_id: str) -> User:
        id = _parse_id(name_or_id)
        if id is not None:
            user = await self.storage.users.find(id)
        else:
            user = await self.storage.users.find_by_identifier(_or_explain(normalise_identifier, name_or_id))
        if user is None:
            raise AdministrationError("There is no such user; `keybearer users list` shows those that there are.")
        return user

    async def set_user_enabled(self, name_or_id: str, *, enabled: bool) -> User:
        """Disabling ends all sessions of the user; enabling restores none."""
        user = await self.get_user(name_or_id)
        status = UserStatus.ENABLED if enabled else UserStatus.DISABLED
        return await self.storage.users.set_status(user.id, status, self.actor) or user

    async def set_password(self, name_or_id: str, password: str) -> User:
        """A new password ends all sessions of the user."""
        user = await self.get_user(name_or_id)
        self._check_password(password, user.email, user.phone, user.first_name, user.last_name)
        return await self.storage.users.set_password(user.id, await self.hasher.hash(password), self.actor) or user

    async def change_roles(self, name_or_id: str, *, add: Collection[str] = (), remove: Collection[str] = ()) -> User:
        """Tokens with the roles of before are refused from now on."""
        user = await self.get_user(name_or_id)
        if not all(map(_ROLE.fullmatch, add)):
            raise AdministrationError(
                "A role has at most 64 letters, digits and . _ : / - and begins with one of them."
            )
        changed = await self.storage.users.set_roles(
            user.id, add=frozenset(add), remove=frozenset(remove), actor=self.actor
        )
        return changed or user

    async def list_sessions(self, user: str | None, limit: int) -> Sequence[SessionView]:
        """Sessions that can still be refreshed, newest first."""
        user_id = (await self.get_user(user)).id if user is not None else None
        return await self.storage.sessions.list_alive(user_id, limit=limit)

    async def revoke_session(self, session_id: str) -> Ended:
        id = _parse_id(session_id)
        ended = EndRefused.UNKNOWN if id is None else await self._end(id)
        if not isinstance(ended, Ended):
            known = ended is not EndRefused.UNKNOWN
            raise AdministrationError("The session has ended already." if known else "There is no such session.")
        return ended

    async def _end(self, session_id: UUID) -> Ended | EndRefused:
        return await self.storage.sessions.end(session_id, EndReason.ADMINISTRATOR, self.actor)

    async def _named(self, name: str) -> list[Application]:
        return [one for one in await self.storage.applications.list_applications() if one.name == name]

    async def _create_key(
        self, application: Application, kind: ApiKeyKind, permissions: frozenset[str], expires_in: int | None
    ) -> CreatedKey:
        text = make_api_key(kind, self.randomness.bytes(KEY_RANDOM_BYTES))
        now = await self.storage.now()
        key = ApiKey(
            id=self._new_id(now),
            application_id=application.id,
            kind=kind,
            key_hash=hash_api_key(text),
            hint=text[:HINT_LENGTH],
            permissions=permissions,
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in * 1000,
        )
        await self.storage.api_keys.create(key, self.actor)
        return CreatedKey(key, text)

    async def _insert_user(self, person: Person, password_hash: str) -> User:
        new = NewUser(
            id=self._new_id(await self.storage.now()),
            email=person.email,
            phone=person.phone,
            first_name=person.first_name,
            last_name=person.last_name,
            password_hash=password_hash,
        )
        created = await self.storage.users.create(new, self.actor)
        if isinstance(created, IdentifierTaken):
            raise AdministrationError(f"Another user has {created.identifier} already.")
        return created

    def _check_password(self, password: str, *names: str | None) -> None:
        known = [name for name in names if name]
        try:
            check_new_password(password, names=[*known, " ".join(known[-2:])], common=self.common_passwords)
        except PasswordRefused as error:
            raise AdministrationError(f"The password cannot be taken: {error.reason}.") from None

    def _new_id(self, now: int) -> UUID:
        return uuid7(now, self.randomness.bytes(RANDOM_BYTES))


def normalise_origin(text: str) -> str:
    """An origin as browsers send it (RFC 6454 section 6.2): lower case, without the scheme's own port or a slash."""
    origin = _ORIGIN.fullmatch(text.strip().lower().removesuffix("/"))
    if origin is None:
        raise AdministrationError(
            f"{text!r} is not an origin: it has a scheme, a host and perhaps a port, as https://shop.example.com or "
            "http://localhost:5173. There are no wildcards; names with other letters are written in punycode."
        )
    if origin["scheme"] == "http" and _LOOPBACK.fullmatch(origin["host"]) is None:
        raise AdministrationError(
            f"{text!r} is plain http to another machine, where credentials travel in clear: give its https origin."
        )
    port = origin["port"] or ""
    return f"{origin['scheme']}://{origin['host']}" + ("" if _DEFAULT_PORTS.get(origin["scheme"]) == port else port)


def _first_kind(kind: ApplicationKind) -> ApiKeyKind:
    return ApiKeyKind.PUBLISHABLE if kind is ApplicationKind.BROWSER else ApiKeyKind.SECRET


def _check_name(text: str, what: str) -> str:
    name = text.strip()
    if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise AdministrationError(f"{what.capitalize()} has 1 to {MAX_NAME_LENGTH} printable characters.")
    if _parse_id(name) is not None:
        raise AdministrationError(f"{what.capitalize()} cannot look like an id.")
    return name


def _check_lifetimes(lifetimes: Lifetimes) -> Lifetimes:
    idle, absolute = lifetimes.session_idle, lifetimes.session_absolute
    if idle is not None and absolute is not None and idle > absolute:
        raise AdministrationError("A session's idle lifetime cannot be longer than its absolute one.")
    return lifetimes


def _check_person(person: Person) -> Person:
    return Person(
        email=_or_explain(normalise_email, person.email),
        phone=_or_explain(normalise_phone, person.phone) if person.phone else None,
        first_name=_check_name(person.first_name, "a first name"),
        last_name=_check_name(person.last_name, "a last name"),
    )


def _or_explain(normalise: Callable[[str], str], text: str) -> str:
    try:
        return normalise(text)
    except InvalidIdentifier as error:
        raise AdministrationError(f"{text!r} cannot be taken: {error}.") from None


def _parse_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
