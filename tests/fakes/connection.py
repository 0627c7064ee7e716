"""Connections of a test that end with it.

One that is left to the garbage collector fails whichever test runs then.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def let_go(*writers: asyncio.StreamWriter) -> None:
    """End connections at once: a mere `close` waits for a peer that reads nothing any more."""
    for writer in writers:
        _abort(writer)
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def answering(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on loopback for the block; gives the port.

    A connection ends when `answer` returns and its peer has read what was said, or when the peer
    has hung up, and every one with the block.
    """
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        serving.add(me)
        await until_answered(answer, reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


async def until_answered(
    answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one connection, and end it."""
    try:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await answer(reader, writer)
            writer.close()
            await writer.wait_closed()
    finally:
        _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    with suppress(AttributeError):  # Debian 12's Python, of TLS that was closed before
        writer.transport.abort()
