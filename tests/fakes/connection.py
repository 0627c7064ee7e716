"""Connections of a test that end with it."""

import asyncio
from contextlib import suppress


async def let_go(*writers: asyncio.StreamWriter) -> None:
    """End connections at once: a mere `close` waits for a peer that reads nothing any more.

    Left to the garbage collector, one fails whichever test runs then.
    """
    for writer in writers:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
