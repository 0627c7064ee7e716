"""Connections of the HTTP client to registries: only where the gate lets through, and by the loop.

httpcore's own streams give 16 KiB at a time, each after dozens of calls: that took five times as
long as the download itself. These are asyncio's, whose TLS uvloop does in C.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpcore

BUFFER = 512 * 1024
"""Bytes that a connection reads ahead."""

Addresses = Callable[[str, int], Awaitable[Sequence[str]]]


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Dials exactly the addresses that were looked at: a name is not asked for twice."""

    def __init__(self, addresses: Addresses) -> None:
        """Ask `addresses` where a host may be dialled; what it raises goes through."""
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers."""
        del local_address, socket_options
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in await self._addresses(host, port):
            try:
                async with _translated(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
                    return _Stream(*await asyncio.open_connection(address, port, limit=BUFFER))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        async with _translated(httpcore.ReadError, httpcore.ReadTimeout, timeout):
            return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        async with _translated(httpcore.WriteError, httpcore.WriteTimeout, timeout):
            self._writer.write(buffer)
            await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
    ) -> httpcore.AsyncNetworkStream:
        async with _translated(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
            await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's own
        if info == "is_readable":  # an idle connection that has something to say is at its end
            return self._reader.at_eof() or self._writer.is_closing()
        return self._writer.get_extra_info(info)


@asynccontextmanager
async def _translated(
    failure: type[Exception], late: type[Exception], seconds: float | None
) -> Any:  # noqa: ANN401
    """Raise what httpcore expects: a `failure`, or `late` after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except (OSError, EOFError) as error:
        raise failure(str(error)) from error
