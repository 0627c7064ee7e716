"""A pooler before a server: one that hands single statements on, or one that knows few words."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fakes.connection import answering, let_go

BEGIN = b"BEGIN"


@asynccontextmanager
async def statement_pooler(socket: Path, refused: bytes = BEGIN) -> AsyncIterator[int]:
    """Serve on loopback before the server behind a socket, as pgbouncer does with
    pool_mode=statement; gives the port. It cuts whoever says what is `refused`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_server = await asyncio.open_unix_connection(socket)
        back = asyncio.create_task(_copy(behind, writer))
        try:
            while data := await reader.read(65536):
                if refused in data:
                    writer.write(_fatal("that is not taken here"))
                    break
                to_server.write(data)
        finally:
            back.cancel()
            await let_go(to_server)

    async with answering(answer) as port:
        yield port


class Cutting:
    """A line to a server's socket that is cut, once after `arm`, at whoever says COMMIT."""

    def __init__(self, socket: Path, *, is_heard: bool) -> None:
        self._socket = socket
        self._is_heard = is_heard
        self._is_armed = False

    def arm(self) -> None:
        self._is_armed = True

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_server = await asyncio.open_unix_connection(self._socket)
        back = asyncio.create_task(_copy(behind, writer))
        try:
            while data := await reader.read(65536):
                is_over = self._is_armed and b"COMMIT" in data
                if is_over:
                    self._is_armed = False
                    back.cancel()
                    await asyncio.wait([back])
                if not is_over or self._is_heard:
                    to_server.write(data)
                if is_over:
                    await self._hear(behind)
                    break
        finally:
            back.cancel()
            await let_go(to_server)

    async def _hear(self, behind: asyncio.StreamReader) -> None:
        """Wait until the server has answered, if it was told."""
        if self._is_heard:
            await behind.read(65536)


@asynccontextmanager
async def cutting_line(socket: Path, *, is_heard: bool) -> AsyncIterator[tuple[Cutting, int]]:
    """Serve one on loopback, and give its port; `is_heard` by the server, or by nobody."""
    line = Cutting(socket, is_heard=is_heard)
    async with answering(line.answer) as port:
        yield line, port


@asynccontextmanager
async def transaction_pooler(socket: Path) -> AsyncIterator[int]:
    """Serve on loopback before the server behind a socket; gives the port.

    Each simple query of a client goes to a connection of its own, as may happen behind pgbouncer
    with pool_mode=transaction.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(65536)
        await _ask(socket, hello, b"", writer)
        while (data := await reader.read(65536)).startswith(b"Q"):
            await _ask(socket, hello, data, writer)

    async with answering(answer) as port:
        yield port


async def _ask(socket: Path, hello: bytes, query: bytes, writer: asyncio.StreamWriter) -> None:
    """Hand the answer to a query on, or to the greeting where there is none."""
    behind, to_server = await asyncio.open_unix_connection(socket)
    try:
        to_server.write(hello)
        answer = await _until_ready(behind)
        if query:
            to_server.write(query)
            answer = await _until_ready(behind)
        writer.write(answer)
    finally:
        await let_go(to_server)


async def _until_ready(reader: asyncio.StreamReader) -> bytes:
    """Read messages up to ReadyForQuery."""
    answer = b""
    while True:
        head = await reader.readexactly(5)
        answer += head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        if head.startswith(b"Z"):
            return answer


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


def _fatal(message: str) -> bytes:
    """Give an ErrorResponse: https://www.postgresql.org/docs/current/protocol-message-formats.html"""
    fields = b"".join(
        kind + text.encode() + b"\0"
        for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", "08P01"), (b"M", message))
    )
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"
