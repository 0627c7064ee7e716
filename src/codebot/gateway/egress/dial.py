"""Connections to the outside, to exactly the address that was checked."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from codebot.gateway.addresses import Network
from codebot.gateway.egress.policy import NotLetOut, Target, check_addresses
from codebot.network.causes import place_of, why_unreachable
from codebot.network.client import trust_in
from codebot.network.tunnel import ProxyRefused, Streams, open_tunnel

CONNECT_SECONDS = 15
LONGEST_HEAD = 16 * 1024
HTTP = 80

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Give the addresses of a host, as this machine knows them."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Dialler:
    """Opens connections for boxes; `proxy_of` names the proxy that an address needs, if any.

    Where this machine cannot resolve names itself, its proxy does, and decides what they mean.
    `trust` checks the certificate of a proxy that speaks TLS.
    """

    proxy_of: Callable[[str], str | None]
    resolve: Resolve = resolve
    trust: ssl.SSLContext = field(default_factory=lambda: trust_in(None))
    private: tuple[Network, ...] = ()

    async def open(self, target: Target) -> Streams:
        """Give a connection; raises `NotLetOut` for where it may not lead, and `OSError`."""
        proxy = self.proxy_of(f"https://{target.host}")
        addresses = await self.resolve(target.host, target.port)
        if proxy is not None and not addresses:
            return await self._through(proxy, target)
        checked = check_addresses(target, addresses, self.private)
        if proxy is not None:
            return await self._through(proxy, target)
        return await _first_of(checked, target.port)

    async def _through(self, proxy: str, target: Target) -> Streams:
        """Ask a company's proxy for the connection."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await open_tunnel(proxy, target.host, target.port, trust=self.trust)
        except ProxyRefused as refused:
            reason = f"the company's proxy refuses it: {refused}"
            raise NotLetOut(reason, target.host, target.port) from None
        except (OSError, TimeoutError) as error:
            why = why_unreachable(error)
            raise OSError(f"the company's proxy {place_of(proxy)}: {why}") from error


async def _first_of(addresses: Sequence[str], port: int) -> Streams:
    failed: OSError = OSError("no address answered")
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            failed = OSError(why_unreachable(error))
    raise failed
