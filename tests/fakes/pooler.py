"""A pooler that hands single statements on: it cuts whoever begins a transaction."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

BEGIN = b"BEGIN"


@asynccontextmanager
async def statement_pooler(socket: Path) -> AsyncIterator[int]:
    """Serve on loopback before the server behind a socket, as pgbouncer does with
    pool_mode=statement; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_server = await asyncio.open_unix_connection(socket)
        back = asyncio.create_task(_copy(behind, writer))
        while data := await reader.read(65536):
            if BEGIN in data:
                writer.write(_fatal("transaction blocks not allowed in statement pooling mode"))
                break
            to_server.write(data)
        back.cancel()
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()
        to_server.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


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
