"""One writer with group commit: writes that arrive while a commit runs share the next one.

A commit costs one fsync, whatever is in it: 32 callers that write at once wait for one or two of
them, not for 32.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from codebot.errors import StoreUnavailable
from codebot.store.faults import store_faults

T = TypeVar("T")
Item = TypeVar("Item")

Bulk = Callable[[Connection, Sequence[Item]], Sequence[T]]
"""Writes many items with a few statements, and gives one result for each."""


@dataclass(frozen=True, slots=True)
class _Write(Generic[Item, T]):
    """One caller's part of a batch: neighbours with the same `bulk` are written together."""

    bulk: Bulk[Item, T]
    item: Item
    written: asyncio.Future[T]


class Writer:
    """Runs every write of the store, in order, in transactions shared by whoever writes now.

    All its state lives on the event loop; only the transaction itself runs in a thread. A write
    may be run again when a neighbour spoils the batch, so it must not touch anything but the
    database.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="codebot-store")
        self._waiting: list[_Write[Any, Any]] = []
        self._settling: asyncio.Task[None] | None = None

    def write(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run `work` in a transaction; the future is done once it is on disk."""
        return self.write_bulk(_run_each, work)

    def write_bulk(self, bulk: Bulk[Item, T], item: Item) -> asyncio.Future[T]:
        """As `write`, for what arrives often: `bulk` gets the items of many callers at once."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Write(bulk, item, written))
        if self._settling is None:
            self._settling = loop.create_task(self._settle())
        return written

    async def close(self) -> None:
        """Finish what was asked for, then release the connection."""
        while self._settling is not None:
            await asyncio.wait([self._settling])
        self._thread.shutdown()
        self._connection.close()

    async def _settle(self) -> None:
        """Write batch after batch until nobody waits."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._settle_together(batch)
        finally:
            self._settling = None

    async def _settle_together(self, batch: list[_Write[Any, Any]]) -> None:
        """Commit the batch at once; if one of it fails, redo each alone: the others never notice.

        A store that is not available is not asked again: with a lock held elsewhere, each
        attempt would last as long as the first.
        """
        results = await self._attempt(batch)
        if not isinstance(results, BaseException):
            for write, result in zip(batch, results, strict=True):
                _resolve(write.written, result)
        elif len(batch) == 1 or isinstance(results, StoreUnavailable):
            for write in batch:
                _reject(write.written, results)
        else:
            for write in batch:
                await self._settle_together([write])

    async def _attempt(self, batch: Sequence[_Write[Any, Any]]) -> list[Any] | BaseException:
        """Give the results of one transaction, or what it raised as a value."""
        loop = asyncio.get_running_loop()
        attempt = loop.run_in_executor(self._thread, self._transact, batch)
        results: tuple[list[Any] | BaseException] = await asyncio.gather(
            attempt, return_exceptions=True
        )
        return results[0]

    def _transact(self, batch: Sequence[_Write[Any, Any]]) -> list[Any]:
        """Write everything and commit; the only code that runs in the writer thread."""
        results: list[Any] = []
        with store_faults(), self._connection.begin():
            for bulk, writes in groupby(batch, key=lambda write: write.bulk):
                results += bulk(self._connection, [write.item for write in writes])
        return results


def _run_each(connection: Connection, works: Sequence[Callable[[Connection], T]]) -> Sequence[T]:
    """Run writes that have nothing in common one after the other."""
    return [work(connection) for work in works]


def _resolve(future: asyncio.Future[T], result: T) -> None:
    """Hand the result to the caller, if it still waits."""
    if not future.done():
        future.set_result(result)


def _reject(future: asyncio.Future[Any], error: BaseException) -> None:
    """Hand the error to the caller, if it still waits."""
    if not future.done():
        future.set_exception(error)
