"""Where the service is: an https origin, and the path that its API has there."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

DEFAULT_BASE: Final = "/v1/api"


@dataclass(frozen=True, slots=True)
class Address:
    secure: bool
    host: str
    port: int
    base: str

    @property
    def snapshot(self) -> str:
        return f"{self.base}/feed/snapshot"

    @property
    def feed(self) -> str:
        return f"{self.base}/feed"

    @property
    def token_info(self) -> str:
        return f"{self.base}/oauth/token/info"

    @property
    def jwks(self) -> str:
        return "/.well-known/jwks.json"

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.origin + self.base


def parse_address(base_url: str, *, allow_http: bool = False) -> Address:
    """The address of a base URL; without a path it is the service's default one.

    ValueError for anything but https, or http on loopback (anywhere, with `allow_http`), and for a URL that holds
    credentials, a query or a fragment.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("base_url is an https URL")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("base_url has no credentials, no query and no fragment")
    if not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        raise ValueError("base_url is printable ASCII")
    secure = parts.scheme == "https"
    if not secure and not allow_http and not is_loopback(parts.hostname):
        raise ValueError(
            "base_url is https: over http everyone on the way could read the credentials and forge the answers"
        )
    return Address(
        secure, parts.hostname, parts.port or (443 if secure else 80), parts.path.rstrip("/") or DEFAULT_BASE
    )


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
