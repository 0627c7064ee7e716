"""Group commit: writes that arrive while a commit runs share the next one.

A commit costs one fsync, whatever is in it: 32 callers that write at once wait for one or two of
them, not for 32.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from codebot.errors import StoreUnavailable
from codebot.store.database import Bulk

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Write(Generic[Item, T]):
    """One caller's part of a batch: neighbours with the same `bulk` are written together."""

    bulk: Bulk[Item, T]
    item: Item
    written: asyncio.Future[T]


class Groups:
    """Hands whatever is asked for meanwhile to `transact`, batch after batch, in order.

    All its state lives on the event loop. `transact` gives the results of one transaction.
    """

    def __init__(
        self, transact: Callable[[Sequence[Write[Any, Any]]], Awaitable[list[Any]]]
    ) -> None:
        """Begin with nothing to write."""
        self._transact = transact
        self._waiting: list[Write[Any, Any]] = []
        self._settling: asyncio.Task[None] | None = None

    def add(self, bulk: Bulk[Item, T], item: Item) -> asyncio.Future[T]:
        """Write the item with the next batch; the future is done once it is on disk."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[T] = loop.create_future()
        self._waiting.append(Write(bulk, item, written))
        if self._settling is None:
            self._settling = loop.create_task(self._settle())
        return written

    async def finish(self) -> None:
        """Wait for what was asked for."""
        while self._settling is not None:
            await asyncio.wait([self._settling])

    async def _settle(self) -> None:
        """Write batch after batch until nobody waits."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._settle_together(batch)
        finally:
            self._settling = None

    async def _settle_together(self, batch: list[Write[Any, Any]]) -> None:
        """Commit the batch at once; if one of it fails, redo each alone: the others never notice.

        A store that is not available is not asked again: with a lock held elsewhere, each
        attempt would last as long as the first.
        """
        results = await self._attempt(batch)
        if not isinstance(results, BaseException):
            for write, result in zip(batch, results, strict=True):
                resolve(write.written, result)
        elif len(batch) == 1 or isinstance(results, StoreUnavailable):
            for write in batch:
                reject(write.written, results)
        else:
            for write in batch:
                await self._settle_together([write])

    async def _attempt(self, batch: Sequence[Write[Any, Any]]) -> list[Any] | BaseException:
        """Give the results of one transaction, or what it raised as a value."""
        results: tuple[list[Any] | BaseException] = await asyncio.gather(
            self._transact(batch), return_exceptions=True
        )
        return results[0]


def run_batch(connection: Connection, batch: Sequence[Write[Any, Any]]) -> list[Any]:
    """Write everything, within the transaction that is open; give the results in order."""
    results: list[Any] = []
    for bulk, writes in groupby(batch, key=lambda write: write.bulk):
        results += bulk(connection, [write.item for write in writes])
    return results


def run_each(connection: Connection, works: Sequence[Callable[[Connection], T]]) -> Sequence[T]:
    """Run writes that have nothing in common one after the other."""
    return [work(connection) for work in works]


def resolve(future: asyncio.Future[T], result: T) -> None:
    """Hand the result to the caller, if it still waits."""
    if not future.done():
        future.set_result(result)


def reject(future: asyncio.Future[Any], error: BaseException) -> None:
    """Hand the error to the caller, if it still waits."""
    if not future.done():
        future.set_exception(error)
