"""The reading end of a child's output: lines of any length, and an end that always comes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

CHUNK = 64 * 1024
"""What a pipe of Linux holds unless told otherwise: the most that one read can give."""

MOST_LEFT = 16
"""Chunks taken from a pipe whose writers are gone; more means that somebody still writes."""


LONGEST_LINE = 64 * 1024 * 1024
"""Bytes: what is longer than any message of an agent is no line, and memory is not endless."""


class Pipe:
    """A pipe that a child writes to and this event loop reads.

    asyncio's own streams break on lines over their limit and wait for every writer to be gone. A
    daemon that escaped with the pipe in its hands would keep a task open for ever, so `finish`
    ends it: what is in the pipe then can still be read, and its descriptor is closed.
    """

    def __init__(self, descriptor: int, on_bytes: Callable[[int], None]) -> None:
        """Own the descriptor; `on_bytes` is told how much each read gave."""
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._on_bytes = on_bytes
        self._left = b""
        self._ready = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give what the child writes as it comes, until it has closed the pipe or `finish`."""
        while chunk := await self._next():
            self._on_bytes(len(chunk))
            yield chunk
            await asyncio.sleep(0)  # a child that floods must not starve everybody else

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the same line by line, line ends included; the last one may lack its end.

        A line beyond `LONGEST_LINE` comes in pieces of that size: 250 MB without a line end took
        900 MB of memory.
        """
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                parts.append(part + b"\n")
                yield b"".join(parts)
                parts.clear()
                size = 0
            if rest:
                parts.append(rest)
                size += len(rest)
            if size >= LONGEST_LINE:
                yield b"".join(parts)
                parts.clear()
                size = 0
        if parts:
            yield b"".join(parts)

    def finish(self) -> None:
        """Keep what is in the pipe for whoever still reads, and close it."""
        if self._descriptor is None:
            return
        left: list[bytes] = []
        while len(left) < MOST_LEFT and (chunk := self._read_now(self._descriptor)):
            left.append(chunk)
        self._left = b"".join(left)
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None
        self._ready.set()

    async def _next(self) -> bytes:
        while self._descriptor is not None:
            chunk = self._read_now(self._descriptor)
            if chunk is not None:
                return chunk
            await self._readable(self._descriptor)
        left, self._left = self._left, b""
        return left

    async def _readable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._ready.clear()
        loop.add_reader(descriptor, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            if self._descriptor is not None:
                loop.remove_reader(descriptor)

    @staticmethod
    def _read_now(descriptor: int) -> bytes | None:
        """Read what is there: b"" at the end, None when there is nothing yet."""
        try:
            return os.read(descriptor, CHUNK)
        except BlockingIOError:
            return None


async def read_to_end(descriptor: int) -> bytes:
    """Give all that comes through a pipe, and close it."""
    pipe = Pipe(descriptor, lambda _: None)
    try:
        return b"".join([chunk async for chunk in pipe.chunks()])
    finally:
        pipe.finish()
