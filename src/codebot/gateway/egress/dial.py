"""Connections to the outside, to exactly the address that was checked."""

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from codebot.gateway.egress.policy import HTTPS, NotLetOut, Target, check_addresses

CONNECT_SECONDS = 15
LONGEST_HEAD = 16 * 1024
HTTP = 80

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
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
    """

    proxy_of: Callable[[str], str | None]
    resolve: Resolve = resolve

    async def open(self, target: Target) -> Streams:
        """Give a connection; raises `NotLetOut` for where it may not lead, and `OSError`."""
        proxy = self.proxy_of(f"https://{target.host}")
        addresses = await self.resolve(target.host, target.port)
        if proxy is not None and not addresses:
            return await _through(proxy, target)
        checked = check_addresses(target, addresses)
        if proxy is not None:
            return await _through(proxy, target)
        return await _first_of(checked, target.port)


async def _first_of(addresses: Sequence[str], port: int) -> Streams:
    failed: OSError = OSError("no address answered")
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            failed = OSError(str(error) or "it did not answer in time")
    raise failed


async def _through(proxy: str, target: Target) -> Streams:
    """Ask a company's proxy for the connection."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    is_tls = parts.scheme == "https"
    port = parts.port or (HTTPS if is_tls else HTTP)
    with ExitStack() as undo:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                parts.hostname or "", port, ssl=is_tls or None
            )
            undo.callback(writer.transport.abort)
            try:
                writer.write(_connect(target, parts.username, parts.password))
                answer = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                answer = b""
        undo.pop_all()
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        writer.close()
        raise NotLetOut("the company's proxy refuses it", target.host, target.port)
    return reader, writer


def _connect(target: Target, user: str | None, password: str | None) -> bytes:
    authority = f"{target.host}:{target.port}"
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    if user:
        known = f"{unquote(user)}:{unquote(password or '')}"
        head += f"Proxy-Authorization: Basic {base64.b64encode(known.encode()).decode()}\r\n"
    return f"{head}\r\n".encode()
