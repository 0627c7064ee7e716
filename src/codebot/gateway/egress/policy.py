"""Which hosts and addresses a box may reach by CONNECT: rules without input or output."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from codebot.gateway.addresses import Network, may_be_dialled

HTTPS = 443
"""The only port: what is not TLS could not be held to the name that was asked for."""

_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}):(?P<port>[0-9]{1,5})")
_LONGEST_SHOWN = 100


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
            raise NotLetOut("not in CODEBOT_EGRESS, and no registry", target.host, target.port)


def check_addresses(
    target: Target, addresses: Iterable[str], private: Iterable[Network] = ()
) -> list[str]:
    """Give the addresses of a host that may be dialled; raises `NotLetOut` if any may not.

    One private address among public ones is enough: whoever answers for that name is not to be
    trusted with a second try. Addresses in `private` networks may be dialled as public ones.
    """
    found, networks = list(addresses), tuple(private)
    for address in found:
        if not may_be_dialled(address, networks):
            reason = f"it has the address {address}, which is not public"
            raise NotLetOut(reason, target.host, target.port)
    if not found:
        raise NotLetOut("its name cannot be resolved", target.host, target.port)
    return found
