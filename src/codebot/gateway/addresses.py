"""Which addresses the service connects to for a box: rules without input or output."""

import ipaddress
from collections.abc import Iterable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out: `is_global` alone lets old private ranges through (fec0::/10).
https://www.iana.org/assignments/ipv6-address-space/ipv6-address-space.xhtml"""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def may_be_dialled(address: str, private: Iterable[Network | str] = ()) -> bool:
    """Say whether an address is public, or in one of the `private` networks that may be dialled.

    This machine itself and its link (where clouds keep their metadata) never may.

    >>> may_be_dialled("10.1.2.3", ["10.0.0.0/8"]), may_be_dialled("169.254.169.254", ["0.0.0.0/0"])
    (True, False)
    """
    if is_public(address):
        return True
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    networks = [ipaddress.ip_network(network) for network in private]
    return all(
        any(one in network for network in networks)
        and not (one.is_loopback or one.is_link_local or one.is_multicast or one.is_unspecified)
        for one in _wrapped(given)
    )


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
