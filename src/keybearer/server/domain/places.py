"""Where a request comes from: the prefixes of an address by which the limiter and the known places count."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


@dataclass(frozen=True, slots=True)
class Origin:
    """`address`: one IPv4 address or an IPv6 /64, what one customer has; `network`: the IPv6 /48 around it, or None;
    `place`: the IPv4 /24 or IPv6 /48 within which a person moves."""

    address: str
    network: str | None
    place: str


UNKNOWN = Origin("unknown", None, "unknown")
"""Peers without an address (a Unix socket without a trusted proxy) share one."""


def origin_of(text: str) -> Origin:
    """The prefixes of an address as the transport or a trusted proxy gave it. An IPv4-mapped address counts as IPv4."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv4Address):
        return Origin(str(address), None, _prefix(address, 24))
    return Origin(_prefix(address, 64), _prefix(address, 48), _prefix(address, 48))


def _prefix(address: IPv4Address | IPv6Address, length: int) -> str:
    return str(ip_network((address, length), strict=False))
