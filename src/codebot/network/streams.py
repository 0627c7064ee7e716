"""asyncio's connections for the HTTP client, and the way through a SOCKS proxy as one of them.

httpcore's own streams give 16 KiB at a time, each after dozens of calls: for a download that took
five times as long as the download itself. These are asyncio's, whose TLS uvloop does in C.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore

from codebot.network.tunnel import ProxyRefused, open_tunnel


class SocksNetwork(httpcore.AsyncNetworkBackend):
    """Reaches every host through one SOCKS proxy.

    httpcore's own way leaves the connection open when the proxy says no: one more with every
    request, until the service has too many open files.
    """

    def __init__(self, proxy: str, trust: ssl.SSLContext) -> None:
        """Go through `proxy`, an address as `settings.proxy` gives it."""
        self._proxy, self._trust = proxy, trust

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Ask the proxy for a connection; raises `httpcore.ProxyError` with what it said."""
        del local_address, socket_options
        async with translated(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
            try:
                return Stream(*await open_tunnel(self._proxy, host, port, trust=self._trust))
            except ProxyRefused as refused:
                raise httpcore.ProxyError(str(refused)) from refused

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Stream(httpcore.AsyncNetworkStream):
    """A connection of asyncio's as httpcore wants one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Give what there is, at most so much; nothing at the end."""
        async with translated(httpcore.ReadError, httpcore.ReadTimeout, timeout):
            return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send, as fast as the other side reads."""
        async with translated(httpcore.WriteError, httpcore.WriteTimeout, timeout):
            self._writer.write(buffer)
            await self._writer.drain()

    async def aclose(self) -> None:
        """End it at once."""
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
    ) -> httpcore.AsyncNetworkStream:
        """Go on in TLS."""
        async with translated(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
            await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's own
        """Tell what httpcore asks of a connection."""
        if info == "is_readable":  # an idle connection that has something to say is at its end
            return self._reader.at_eof() or self._writer.is_closing()
        return self._writer.get_extra_info(info)


@asynccontextmanager
async def translated(
    failure: type[Exception], late: type[Exception], seconds: float | None
) -> AsyncIterator[None]:
    """Raise what httpcore expects: a `failure`, or `late` after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except (OSError, EOFError) as error:
        raise failure(str(error)) from error
