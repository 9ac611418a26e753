"""The settings: read once, from the environment first and a TOML file second; frozen, and passed on as small policies.

`SETTINGS` is the one list of them; docs/configuration.md is generated from it.
"""

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from keybearer.base64url import decode_base64url
from keybearer.server.adapters.scheduling import usable_processors
from keybearer.server.domain.attempts import Allowance, LimitPolicy
from keybearer.server.domain.secret_keys import JWKS_MAX_AGE
from keybearer.server.domain.sessions import SessionPolicy

PREFIX = "KEYBEARER_"
CONFIG_FILE = "KEYBEARER_CONFIG"
"""The one setting that stands in the environment only: where the TOML file is."""

Parser = Callable[[str], Any]


class SettingsError(Exception):
    """A setting is unknown, malformed or missing; the message names it, says where it stands and what it takes."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `KEYBEARER_<NAME>` in the environment, `<name>` in the file. `default` is what the docs say."""

    name: str
    parse: Parser
    default: str
    takes: str
    help: str
    secret: bool = False

    @property
    def expects(self) -> str:
        """What it takes, with the bounds of a number."""
        return f"{self.takes}, {self.parse}" if isinstance(self.parse, _Whole) else self.takes


@dataclass(frozen=True, slots=True)
class _Whole:
    """A whole number within bounds, which `str` tells."""

    lowest: int
    highest: int = 2**31 - 1

    def __call__(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not self.lowest <= int(text) <= self.highest:
            raise ValueError
        return int(text)

    def __str__(self) -> str:
        return f"from {self.lowest} on" if self.highest == 2**31 - 1 else f"{self.lowest} to {self.highest}"


def _one_of(*values: str) -> Parser:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError
        return text

    return parse


def _database(text: str) -> str:
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return text
    if text.startswith("postgresql://") and urlsplit(text).path not in ("", "/"):
        return text
    raise ValueError


def _base_path(text: str) -> str:
    if text and not re.fullmatch(r"(/[A-Za-z0-9._-]+)*", text):
        raise ValueError
    return text


def _absolute_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError
    return text


def _audience(text: str) -> str:
    if not text.strip() or len(text) > 256:
        raise ValueError
    return text


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _path(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


def _key(text: str) -> bytes:
    key = decode_base64url(text)
    if key is None or len(key) != 32:
        raise ValueError
    return key


_HOST = re.compile(r"[A-Za-z0-9.:_-]+")


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError
    return text


_DAY = 86400
_YEAR = 366 * _DAY

# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("database", _database, "sqlite:///keybearer.db", "`sqlite:///path` or `postgresql://…/name`",
            "The database. A relative path of SQLite starts at the working directory. Several PostgreSQL servers, with "
            "commas between their names, are a primary and its standbys: the primary is found by itself.",
            secret=True),
    Setting("database_pool_size", _Whole(2, 1000), "10", "a number",
            "Connections to PostgreSQL that one process keeps. Logins are admitted by half of them at most."),
    Setting("host", _host, "127.0.0.1", "an address or a host name", "Where the service listens."),
    Setting("port", _Whole(1, 65535), "8100", "a port", "Where the service listens."),
    Setting("workers", _Whole(1, 256), "1", "a number", "Processes that answer requests."),
    Setting("base_path", _base_path, "/v1/api", "a path without a slash at its end",
            "What stands before the paths of the API."),
    Setting("issuer", _absolute_url, "the service's own address on loopback; required otherwise", "an http(s) URL",
            "The `iss` of every access token."),
    Setting("audience", _audience, "the issuer", "a text", "The `aud` of every access token."),
    Setting("access_token_lifetime", _Whole(10, _DAY), "900", "seconds", "How long an access token holds."),
    Setting("refresh_retry_window", _Whole(0, _DAY), "60", "seconds",
            "How long a refresh is answered again with the same token. 0 makes concurrent refreshes end sessions."),
    Setting("session_idle_lifetime", _Whole(60, 10 * _YEAR), str(30 * _DAY), "seconds",
            "How long a session lives without a refresh."),
    Setting("session_absolute_lifetime", _Whole(60, 10 * _YEAR), str(90 * _DAY), "seconds",
            "How long a session lives at most."),
    Setting("signing_algorithm", _one_of("ES256", "EdDSA", "RS256"), "ES256", "`ES256`, `EdDSA` or `RS256`",
            "What new signing keys are for."),
    Setting("key_publish_seconds", _Whole(0, 30 * _DAY), "900", "seconds",
            "How long a rotated key is published before its first use; longer than any cache keeps the key set."),
    Setting("key_encryption_key", _key, "none", "32 bytes in base64url (43 characters)",
            "The key-encryption key itself; goes before the file.", secret=True),
    Setting("key_encryption_key_file", _path, "beside an SQLite file, named `<file>.key`; required otherwise", "a path",
            "The file (mode 0600) that holds the key-encryption key."),
    Setting("trusted_proxies", _networks, "none", "addresses or networks, with commas between",
            "Proxies whose X-Forwarded-For names the client."),
    Setting("max_body_bytes", _Whole(1024, 1_048_576), "16384", "bytes", "The largest body of a request."),
    Setting("body_timeout", _Whole(1, 300), "10", "seconds", "How long a body may take to arrive."),
    Setting("shutdown_delay", _Whole(0, 600), "0", "seconds",
            "How long a process serves on after SIGTERM while it reports not ready, so that proxies notice in time."),
    Setting("shutdown_grace", _Whole(0, 600), "30", "seconds", "How long requests may take to finish at shutdown."),
    Setting("log_format", _one_of("console", "json"), "console on a terminal, json otherwise", "`console` or `json`",
            "How logs are written."),
    Setting("log_level", _one_of("debug", "info", "warning", "error"), "info", "`debug`, `info`, `warning` or `error`",
            "What is logged."),
    Setting("metrics_port", _Whole(0, 65535), "0", "a port or 0 for none", "Where Prometheus finds /metrics."),
    Setting("metrics_host", _host, "127.0.0.1", "an address or a host name", "Where Prometheus finds /metrics."),
    Setting("max_staleness", _Whole(1, 3600), "60", "seconds",
            "How long tokens are accepted while revocations are out of sight; then 503."),
    Setting("feed_streams", _Whole(1, 100_000), "1000", "a number", "Guards that may follow the feed by one process."),
    Setting("audit_retention_days", _Whole(1, 36500), "90", "days", "How long the audit trail is kept."),
    Setting("hash_threads", _Whole(1, 256), "the usable processors, divided among the workers", "a number",
            "Threads of a process that hash passwords."),
    Setting("hash_queue_limit", _Whole(2, 100_000), "500", "a number",
            "Logins that may wait to be admitted or for their hash; half of them from known places only."),
    Setting("hash_wait_limit", _Whole(1, 600), "10", "seconds", "How long a login may wait for its hash; then 503."),
    Setting("hash_per_address_limit", _Whole(1, 100_000), "32", "a number", "Of one address (or user) among them."),
    Setting("limit_name_known", _Whole(1), "10", "attempts", "Of one user at one known place, in a period."),
    Setting("limit_name_unknown", _Whole(1), "30", "attempts", "Of one name from everywhere else, in a period."),
    Setting("limit_address", _Whole(1), "100", "attempts", "Of one IPv4 address or IPv6 /64, in a period."),
    Setting("limit_network", _Whole(1), "1000", "attempts", "Of one IPv6 /48, in a period."),
    Setting("limit_application", _Whole(1), "1000", "attempts",
            "Of one application, in a period; beyond it unknown addresses pay five times."),
    Setting("limit_period", _Whole(1, _DAY), "900", "seconds", "The period of the limits on logins."),
)
# fmt: on

_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator can choose. Durations are seconds unless the name says otherwise."""

    database: str = field(repr=False)
    database_pool_size: int
    host: str
    port: int
    workers: int
    base_path: str
    issuer: str
    audience: str
    session_policy: SessionPolicy
    signing_algorithm: str
    key_publish_seconds: int
    key_encryption_key: bytes | None = field(repr=False)
    key_encryption_key_file: Path | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    max_body_bytes: int
    body_timeout: int
    shutdown_delay: int
    shutdown_grace: int
    log_format: str | None
    log_level: str
    metrics_port: int
    metrics_host: str
    max_staleness: int
    feed_streams: int
    audit_retention_days: int
    hash_threads: int
    hash_queue_limit: int
    hash_wait_limit: int
    hash_per_address_limit: int
    limit_policy: LimitPolicy

    @property
    def sqlite_path(self) -> Path | None:
        """The file of an SQLite database; None for PostgreSQL."""
        return Path(self.database.removeprefix("sqlite:///")) if self.database.startswith("sqlite:///") else None

    @property
    def key_file_beside_database(self) -> Path | None:
        """Where the key-encryption key lies when nothing else is set; None for PostgreSQL, which has no such place."""
        path = self.sqlite_path
        return None if path is None else path.with_name(path.name + ".key")

    @property
    def hash_threads_in_a_flood(self) -> int:
        """Those of this process that compute hashes for strangers, so that one processor is left (decision 0018)."""
        return max(1, (usable_processors() - 1) // self.workers)

    def warnings(self) -> list[str]:
        """What is allowed and may not be meant."""
        found = []
        policy = self.session_policy
        if policy.refresh_retry_window == 0:
            found.append("KEYBEARER_REFRESH_RETRY_WINDOW is 0: concurrent refreshes and lost answers end sessions.")
        if policy.refresh_retry_window * 2 > policy.access_token_lifetime:
            found.append(
                "KEYBEARER_REFRESH_RETRY_WINDOW is more than half of KEYBEARER_ACCESS_TOKEN_LIFETIME: a stolen refresh "
                "token may go unnoticed. Make the window shorter or the lifetime longer."
            )
        if policy.idle_lifetime > policy.absolute_lifetime:
            found.append("KEYBEARER_SESSION_IDLE_LIFETIME is longer than KEYBEARER_SESSION_ABSOLUTE_LIFETIME.")
        if self.key_publish_seconds <= JWKS_MAX_AGE:
            found.append(
                f"KEYBEARER_KEY_PUBLISH_SECONDS is not more than the {JWKS_MAX_AGE} s for which caches keep the keys: "
                "after a rotation, services would refuse tokens that are good."
            )
        if any(network.prefixlen == 0 for network in self.trusted_proxies):
            found.append("KEYBEARER_TRUSTED_PROXIES is everybody: every caller can claim to come from any address.")
        if urlsplit(self.issuer).scheme == "http" and not is_loopback(urlsplit(self.issuer).hostname or ""):
            found.append("KEYBEARER_ISSUER is a plain http address: credentials would travel in clear. Use https.")
        return found


def is_loopback(host: str) -> bool:
    """True for a name or an address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """The settings of the environment and of the TOML file (`file`, or the one that KEYBEARER_CONFIG names).

    Raises SettingsError.
    """
    if file is None and environ.get(CONFIG_FILE):
        file = Path(environ[CONFIG_FILE])
    values = _read_file(file) if file is not None else {}
    values |= _read_environment(environ)
    return _build(values)


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable != CONFIG_FILE and not _is_ignored(variable, text):
            name = variable.removeprefix(PREFIX).lower()
            values[name] = _parse(name, text, variable)
    return values


def _is_ignored(variable: str, text: str) -> bool:
    """Whether a variable is for somebody else: for the client, the tour, the tests, or put there by Kubernetes, which
    describes a Service named `keybearer` to every container of its namespace."""
    described = _KUBERNETES.fullmatch(variable) is not None or (variable == f"{PREFIX}PORT" and "://" in text)
    return described or variable.startswith(IGNORED_PREFIXES)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {file} is not TOML: {error}.") from None
    return {name: _parse(name, _text_of(value), f"{name} in {file}") for name, value in document.items()}


def _text_of(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def _parse(name: str, text: str, where: str) -> Any:
    setting = _BY_NAME.get(name)
    if setting is None:
        similar = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f" Is {similar[0]} meant?" if similar else ""
        raise SettingsError(f"{where} is not a setting.{hint} docs/configuration.md lists them all.")
    try:
        return setting.parse(text)
    except ValueError:
        shown = "" if setting.secret else f", not {text[:80]!r}"
        raise SettingsError(f"{where} takes {setting.expects}{shown}.") from None


def _build(values: Mapping[str, Any]) -> Settings:
    def value(name: str) -> Any:
        return values[name] if name in values else _BY_NAME[name].parse(_BY_NAME[name].default)

    host, port, workers = value("host"), value("port"), value("workers")
    issuer = values.get("issuer") or _own_address(host, port)
    return Settings(
        issuer=issuer,
        audience=values.get("audience", issuer),
        session_policy=SessionPolicy(
            value("access_token_lifetime"),
            value("refresh_retry_window"),
            value("session_idle_lifetime"),
            value("session_absolute_lifetime"),
        ),
        key_encryption_key=values.get("key_encryption_key"),
        key_encryption_key_file=values.get("key_encryption_key_file"),
        trusted_proxies=values.get("trusted_proxies", ()),
        log_format=values.get("log_format"),
        hash_threads=values.get("hash_threads", max(1, usable_processors() // workers)),
        limit_policy=_limits(value),
        **{name: value(name) for name in _BY_NAME.keys() & Settings.__dataclass_fields__.keys() - WORDED_DEFAULTS},
    )


WORDED_DEFAULTS = frozenset(
    {"issuer", "audience", "key_encryption_key", "key_encryption_key_file", "trusted_proxies"}
) | {
    "log_format",
    "hash_threads",
}
"""Settings whose default is no value of theirs: words that say what is done without one."""

_KUBERNETES = re.compile(f"{PREFIX}(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")

IGNORED_PREFIXES = (f"{PREFIX}CLIENT_", f"{PREFIX}TEST_", f"{PREFIX}TOUR_")
"""Variables that are not for the service: those of its test suite and of its tour."""


def _limits(value: Callable[[str], int]) -> LimitPolicy:
    def allowance(name: str) -> Allowance:
        return Allowance(value(f"limit_{name}"), value("limit_period"))

    return LimitPolicy(
        name_known=allowance("name_known"),
        name_unknown=allowance("name_unknown"),
        address=allowance("address"),
        network=allowance("network"),
        application=allowance("application"),
    )


def _own_address(host: str, port: int) -> str:
    if not is_loopback(host):
        raise SettingsError(
            "KEYBEARER_ISSUER is required when the service listens beyond loopback: it names the service in every "
            "token. Set it to the address under which clients reach the service, as https://auth.example.com."
        )
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
