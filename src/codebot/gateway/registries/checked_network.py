"""Connections of the HTTP client to registries: only where the gate lets through."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore

from codebot.network.streams import Stream, translated

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
                async with translated(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
                    return Stream(*await asyncio.open_connection(address, port, limit=BUFFER))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
