"""A body on its way from a registry to the disk; any number of boxes follow it."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from codebot.gateway.registries.cache import Draft
from codebot.gateway.registries.fetch import Unfetchable

PIECE = 256 * 1024
BLOCK = 1024 * 1024
"""Bytes that are written, or read from a disk, in one turn of a thread: under load a turn takes
milliseconds, whatever is done in it."""
LONGEST_HELD = 0.5
"""Seconds for which bytes that came are held back, for a block."""
LARGEST_FILE = 2 * 1024**3


class Hash(Protocol):
    """A running hash, as `hashlib` has them."""

    def update(self, data: bytes, /) -> None:
        """Add to it."""
        ...

    def hexdigest(self) -> str:
        """Give the value."""
        ...


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a body must be: `algorithm` as `hashlib` names it, blake2b being that of 32 bytes."""

    algorithm: str
    hexdigest: str

    def begin(self) -> Hash:
        """Give a running hash."""
        if self.algorithm == "blake2b":
            return hashlib.blake2b(digest_size=32)
        return hashlib.new(self.algorithm, usedforsecurity=False)


@dataclass(slots=True)
class Copying:
    """One body. `total` is its size in bytes where the registry has announced it.

    A reader gets the last byte when all is there and is right: who is cut before that knows that
    it has not got the whole.
    """

    draft: Draft
    headers: Mapping[str, str]
    total: int | None
    expected: Checksum | None = None
    is_whole: bool = False
    failure: str = ""
    _readers: int = 0
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def start(
        self, body: AsyncGenerator[bytes, None], keep: Callable[[], None]
    ) -> asyncio.Task[None]:
        """Begin; `keep` puts what is whole into the cache, in a thread."""
        self._task = asyncio.ensure_future(self._run(body, keep))
        return self._task

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body as it comes; raises `Unfetchable` where it breaks off or is wrong."""
        offset = 0
        self._readers += 1
        try:
            while True:
                moved, ready = self._moved, self._ready()
                if offset < ready:
                    size = min(PIECE, ready - offset)
                    piece = self.draft.read(offset, size)  # just written: it is in memory
                    offset += len(piece)
                    yield piece
                    await asyncio.sleep(0)  # others' turn, and the end of a reader that has gone
                elif self.failure:
                    raise Unfetchable(self.failure)
                elif self.is_whole:
                    return
                else:
                    await moved.wait()
        finally:
            self._readers -= 1
            self._end_if_unread()

    def _ready(self) -> int:
        return self.draft.size if self.is_whole else max(self.draft.size - 1, 0)

    async def _run(self, body: AsyncGenerator[bytes, None], keep: Callable[[], None]) -> None:
        running = self.expected.begin() if self.expected else None
        try:
            async with aclosing(body):
                async for piece in body:
                    await asyncio.to_thread(self._take, piece, running)
                    self._wake()
            self._check(running)
            await asyncio.to_thread(keep)
            self.is_whole = True
        except Unfetchable as error:
            self.failure = str(error)
        except OSError as error:
            self.failure = f"Codebot cannot keep it: {error.strerror}."
        finally:
            self.failure = self.failure or ("" if self.is_whole else "The registry broke off.")
            if not self.is_whole:
                self.draft.path.unlink(missing_ok=True)
            self._wake()
            self._end_if_unread()

    def _check(self, running: Hash | None) -> None:
        """Raise `Unfetchable` when this is not what was announced."""
        if self.total is not None and self.draft.size != self.total:
            raise Unfetchable("The registry broke off.")
        if self.expected and running and running.hexdigest() != self.expected.hexdigest:
            raise Unfetchable("The registry gave other bytes than its index says.")

    def _take(self, piece: bytes, running: Hash | None) -> None:
        if self.draft.size + len(piece) > LARGEST_FILE:
            raise Unfetchable("The registry's answer is too long.")
        self.draft.write(piece)
        if running is not None:
            running.update(piece)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _end_if_unread(self) -> None:
        """Close the file when nobody reads it any more; what is not whole then is given up."""
        if self._readers:
            return
        if self.is_whole or self.failure:
            self.draft.file.close()
        elif self._task is not None:
            self._task.cancel()


async def in_blocks(
    body: AsyncIterator[bytes], size: int = BLOCK, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[bytes]:
    """Give a body in larger pieces, as each costs a thread's turn; none is held back for long.

    On a slow line a block takes longer than a client waits for a byte: pip gives up after 15 s.
    """
    gathered, began = bytearray(), clock()
    async for piece in body:
        gathered += piece
        if len(gathered) >= size or clock() - began >= LONGEST_HELD:
            yield bytes(gathered)
            gathered.clear()
            began = clock()
    if gathered:
        yield bytes(gathered)
