"""The first to meet a connection from a box: CONNECT, TLS for a registry, or plain HTTP."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import cast

import structlog

from codebot.gateway.egress.dial import LONGEST_HEAD

log = structlog.get_logger(__name__)

CONNECT = b"CONNECT "
SILENCE_SECONDS = 10
"""A connection that has said nothing by then is closed; clients open them when they need them."""

Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
Serve = Callable[[socket.socket], Coroutine[None, None, None]]


class Connections:
    """The connections of one box: how many there are, and an end to all of them."""

    def __init__(self, most: int) -> None:
        """Allow `most` at once."""
        self._most = most
        self._open: set[asyncio.Transport] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reserved = 0

    def reserve(self) -> bool:
        """Keep a place for one that is not entered, unless there are too many; see `leave`."""
        if len(self._open) + self._reserved >= self._most:
            return False
        self._reserved += 1
        return True

    def leave(self) -> None:
        """Give a place back that was reserved."""
        self._reserved -= 1

    def enter(self, transport: asyncio.Transport) -> bool:
        """Take a connection in, unless there are too many.

        One that is closing counts as long as there is something in it that the box does not read:
        else a box could leave one full buffer after the other behind.
        """
        self._open = {
            one for one in self._open if not one.is_closing() or one.get_write_buffer_size()
        }
        if len(self._open) + self._reserved >= self._most:
            return False
        self._open.add(transport)
        return True

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task that serves a connection."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cut all of them."""
        for task in tuple(self._tasks):
            task.cancel()
        for transport in self._open:
            transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)


class Doorman(asyncio.Protocol):
    """Looks at the first bytes of a connection and hands it on, with what was read."""

    def __init__(
        self, connections: Connections, tunnel: Streams, http: Callable[[], asyncio.Protocol]
    ) -> None:
        """Hand CONNECT to `tunnel`, everything else to a protocol of `http`."""
        self._connections = connections
        self._tunnel = tunnel
        self._http = http
        self._seen = b""
        self._transport: asyncio.Transport | None = None
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes, for a while."""
        connection = cast("asyncio.Transport", transport)  # of a TCP server
        if not self._connections.enter(connection):
            connection.close()
            return
        self._transport = connection
        loop = asyncio.get_running_loop()
        self._clock = loop.call_later(SILENCE_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Decide as soon as the method can be told."""
        self._seen += data
        beginning = self._seen[: len(CONNECT)]
        if len(beginning) < len(CONNECT) and CONNECT.startswith(beginning):
            return
        self._forget_clock()
        if self._transport is None or self._transport.is_closing():
            return
        if beginning == CONNECT:
            self._begin_tunnel(self._transport)
        else:
            self._hand_over(self._transport, self._http())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        del exc
        self._forget_clock()

    def _begin_tunnel(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LONGEST_HEAD, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        self._hand_over(transport, protocol)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._connections.keep(loop.create_task(self._tunnel(reader, writer)))

    def _hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        seen, self._seen = self._seen, b""
        protocol.data_received(seen)

    def _forget_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


async def open_tls_door(listener: socket.socket, connections: Connections, serve: Serve) -> None:
    """Let in who comes, until this is cancelled: TLS begins with the first byte.

    A transport would read that before anybody could take it for TLS.
    """
    loop = asyncio.get_running_loop()

    async def serve_one(client: socket.socket) -> None:
        try:
            await serve(client)
        finally:
            connections.leave()

    with listener:
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("egress.not_accepted", error=error.strerror)
                await asyncio.sleep(1)
                continue
            if connections.reserve():
                connections.keep(loop.create_task(serve_one(client)))
            else:
                client.close()
