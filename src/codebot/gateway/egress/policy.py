"""Which hosts and addresses a box may reach by CONNECT: rules without input or output."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

HTTPS = 443
"""The only port: what is not TLS could not be held to the name that was asked for."""

_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}):(?P<port>[0-9]{1,5})")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out: `is_global` alone lets old private ranges through (fec0::/10).
https://www.iana.org/assignments/ipv6-address-space/ipv6-address-space.xhtml"""
_LONGEST_SHOWN = 100

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotLetOut(Exception):
    """A box asked for what it may not have; `host` and `port` are what can be shown of it."""

    def __init__(self, reason: str, host: str = "?", port: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.host = host
        self.port = port


class WrongName(NotLetOut):
    """The tunnel was open already when another name than the one asked for was spoken in it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host and a port, as a CONNECT names them; the host in lower case, without a last dot."""

    host: str
    port: int


def parse_target(authority: str) -> Target:
    """Read `HOST:PORT`; raises `NotLetOut` for an address or anything else.

    >>> parse_target("Files.Example.com.:443")
    Target(host='files.example.com', port=443)
    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        shown = authority if authority.isprintable() else ascii(authority)
        raise NotLetOut("not a host name and a port", shown[:_LONGEST_SHOWN])
    target = Target(found["host"].lower().rstrip("."), int(found["port"]))
    if target.host.rpartition(".")[2].isdigit():  # also 127.1 and 2130706433
        raise NotLetOut("an address, not a host name", target.host, target.port)
    return target


@dataclass(frozen=True, slots=True)
class AllowList:
    """The hosts that boxes may reach, each by its full name."""

    hosts: frozenset[str]

    def check(self, target: Target) -> None:
        """Raise `NotLetOut` for any other host, and for any other port."""
        if target.port != HTTPS:
            raise NotLetOut(f"only port {HTTPS} is open", target.host, target.port)
        if target.host not in self.hosts:
            raise NotLetOut("not in CODEBOT_EGRESS", target.host, target.port)


def check_addresses(target: Target, addresses: Iterable[str]) -> list[str]:
    """Give the addresses of a host that may be dialled; raises `NotLetOut` if any may not.

    One private address among public ones is enough: whoever answers for that name is not to be
    trusted with a second try.
    """
    found = list(addresses)
    for address in found:
        if not is_public(address):
            reason = f"it has the address {address}, which is not public"
            raise NotLetOut(reason, target.host, target.port)
    if not found:
        raise NotLetOut("its name cannot be resolved", target.host, target.port)
    return found


def is_public(address: str) -> bool:
    """Say whether an address belongs to the open internet, looking through IPv6's wrappings.

    >>> is_public("93.184.215.14"), is_public("10.1.2.3"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(
        one.is_global
        and not (one.is_multicast or one.is_reserved or one.is_unspecified)
        and (one.version == 4 or one in _UNICAST)  # noqa: PLR2004 - an IP version
        for one in _wrapped(given)
    )


def _wrapped(address: Address) -> list[Address]:
    """Give the IPv4 addresses that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]
