"""What the parts of the store ask of a database, and both kinds of database give."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection

from codebot.store.query import Query

T = TypeVar("T")
Item = TypeVar("Item")

Row: TypeAlias = tuple[Any, ...]

Bulk: TypeAlias = Callable[[Connection, Sequence[Item]], Sequence[T]]
"""Writes many items with a few statements, and gives one result for each."""


class Reader(Protocol):
    """Answers queries from what is committed. Raises `StoreUnavailable`."""

    async def first(self, query: Query, parameters: Mapping[str, object]) -> Row | None:
        """Give the first row, or None."""
        ...

    async def all(self, query: Query, parameters: Mapping[str, object]) -> Sequence[Row]:
        """Give every row."""
        ...


class Writer(Protocol):
    """Runs every write of the store in a transaction.

    A write may be run again when its transaction failed for another's sake, so it must not touch
    anything but the database. Raises `StoreUnavailable`.
    """

    def write(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run `work` in a transaction; the future is done once it is on disk."""
        ...

    def write_bulk(self, bulk: Bulk[Item, T], item: Item) -> asyncio.Future[T]:
        """As `write`, for what arrives often: `bulk` gets the items of many callers at once."""
        ...
