"""How long whoever uses the store waits for a database that is away.

A caller of the API wants to hear at once that it is. A run must not lose paid work over a server
that is restarted: what it reads and writes waits, and is tried again where that can do no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from codebot.errors import StoreUnavailable
from codebot.store.groups import reject, resolve

T = TypeVar("T")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 4.0
"""Seconds between two looks for a database that is away."""

LONGEST_OUTAGE = timedelta(minutes=5)
"""For how long a run waits; after that it is put back like after any other fault."""

_patience: ContextVar[timedelta] = ContextVar("patience", default=timedelta(0))


def patience() -> timedelta:
    """Say for how long whoever is at work here waits."""
    return _patience.get()


@contextmanager
def patient(how_long: timedelta = LONGEST_OUTAGE) -> Iterator[None]:
    """Have everything in the block, and what it starts, wait for a database that is away."""
    before = _patience.set(how_long)
    try:
        yield
    finally:
        _patience.reset(before)


async def waited_for(act: Callable[[], Awaitable[T]], closing: asyncio.Event | None = None) -> T:
    """Give what `act` gives, again for as long as our patience lasts where that can do no harm.

    Once the store is `closing`, nobody waits any more.
    """
    ends_at = asyncio.get_running_loop().time() + patience().total_seconds()
    pause = FIRST_PAUSE
    while True:
        try:
            return await act()
        except StoreUnavailable as error:
            is_over = asyncio.get_running_loop().time() + pause > ends_at
            if is_over or not error.is_harmless or (closing is not None and closing.is_set()):
                raise
        await _sleep(pause, closing)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _sleep(seconds: float, closing: asyncio.Event | None) -> None:
    """Sleep for so long, or until the store closes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await (asyncio.Event() if closing is None else closing).wait()


class Settling:
    """Writes that are done whoever stops waiting for them, and as patiently as who asked."""

    def __init__(self) -> None:
        """Begin with none."""
        self._settling: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def add(self, act: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Do it, again for as long as our patience lasts; the future is done when it is."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[T] = loop.create_future()
        settling = loop.create_task(self._settle(act, written))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
        return written

    async def wait_for(self, act: Callable[[], Awaitable[T]]) -> T:
        """Give what `act` gives, as patiently as who asks, and until the store closes."""
        return await waited_for(act, self._closing)

    def close(self) -> None:
        """Wait for a database that is away no longer."""
        self._closing.set()

    async def finish(self) -> None:
        """Wait for what was asked for."""
        if self._settling:
            await asyncio.wait(self._settling)

    async def _settle(self, act: Callable[[], Awaitable[T]], written: asyncio.Future[Any]) -> None:
        waiting = waited_for(act, self._closing)
        (result,) = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(result, BaseException):
            reject(written, result)
        else:
            resolve(written, result)
