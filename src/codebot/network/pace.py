"""How slowly a body may come: who gives a byte now and then would be waited for without end."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import httpx

WINDOW = 60.0
"""Seconds of waiting after which it is seen how much has come."""
SLOWEST = 1024
"""Bytes a second. A timeout between two pieces is never over where each brings one byte."""


async def paced(
    pieces: AsyncIterator[bytes], *, clock: Callable[[], float] = time.monotonic
) -> AsyncGenerator[bytes, None]:
    """Give a body as it comes; raises `httpx.ReadTimeout` where that takes too long.

    What counts is the time that it was waited for, not what its reader does with it.
    """
    waited, came = 0.0, 0
    while True:
        asked = clock()
        piece = await anext(pieces, None)
        if piece is None:
            return
        waited += clock() - asked
        came += len(piece)
        if waited >= WINDOW:
            if came < SLOWEST * waited:
                raise httpx.ReadTimeout(f"{came} bytes came in {waited:.0f} seconds")
            waited, came = 0.0, 0
        yield piece
