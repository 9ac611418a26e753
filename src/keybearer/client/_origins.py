"""Where the two headers may go: to listed origins over https; over http on this machine, or where one insists."""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from keybearer.client._errors import ConfigurationError
from keybearer.outgoing.address import Address, is_loopback, parse_address

DEFAULT_PORTS = {"http": 80, "https": 443}

Place = tuple[str, str, int]
"""Scheme, host and port of an origin, in lower case and ASCII."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Where credentials may go. `by_wire` has the same places by what httpx says of a URL: scheme, host, and port where
    it is not the default one. At `own_place` the `own_paths` are the service's login and refresh, which take no access
    token."""

    address: Address
    places: frozenset[Place]
    by_wire: dict[tuple[str, bytes, int | None], Place]
    own_place: Place
    own_paths: frozenset[str]


def make_origins(base_url: str, origins: Collection[str], insecure_origins: Collection[str]) -> Origins:
    """The origin of `base_url` and all of `origins`. Plain http beyond loopback must stand in `insecure_origins`.

    ConfigurationError for what is no origin. An origin at port 80 stands for the same host at 443 over https too: httpx
    takes such a redirect for no change of the origin.
    """
    if isinstance(origins, str) or isinstance(insecure_origins, str):
        raise ConfigurationError("origins and insecure_origins are lists of origins.")
    try:
        address = parse_address(base_url, allow_http=True)
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"The base URL is not usable: {error}.") from None
    listed = frozenset(map(place_of, [address.origin, *origins]))
    for place in listed.difference(map(place_of, insecure_origins)):
        _require_secure(place)
    upgraded = {("https", host, 443) for scheme, host, port in listed if (scheme, port) == ("http", 80)}
    places = listed | upgraded
    login = f"{address.base}/oauth/token"
    return Origins(
        address,
        places,
        {_wire(place): place for place in places},
        place_of(address.origin),
        frozenset({login, f"{login}/refresh"}),
    )


def _wire(place: Place) -> tuple[str, bytes, int | None]:
    scheme, host, port = place
    return scheme, host.encode(), None if port == DEFAULT_PORTS[scheme] else port


def place_of(origin: str) -> Place:
    """ConfigurationError for anything but scheme, host and port."""
    try:
        parts = urlsplit(origin)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        rest = parts._replace(scheme="", netloc="").geturl()
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError("An origin is not a URL.") from None
    if scheme not in DEFAULT_PORTS or not host or "@" in parts.netloc or rest not in ("", "/"):
        raise ConfigurationError("An origin is written as https://host or https://host:port, without a path.")
    if not host.isascii():
        raise ConfigurationError("The host of an origin is written in ASCII (IDNA).")
    return scheme, host, port or DEFAULT_PORTS[scheme]


def _require_secure(place: Place) -> None:
    scheme, host, port = place
    if scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"http://{host}:{port} is refused: everyone on the way could read the credentials. Use https, or name it "
            "in insecure_origins."
        )
