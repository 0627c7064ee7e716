"""The one writer of a SQLite file: a thread that commits in groups."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection

from codebot.store.database import Bulk
from codebot.store.groups import Groups, Write, run_batch, run_each
from codebot.store.patience import Settling, patience
from codebot.store.sqlite.checkpoints import Checkpoints
from codebot.store.sqlite.faults import store_faults

T = TypeVar("T")
Item = TypeVar("Item")


class SQLiteWriter:
    """Runs every write of the store, in order, in transactions shared by whoever writes now.

    Only the transaction itself runs in the thread.
    """

    def __init__(self, connection: Connection, checkpoints: Checkpoints) -> None:
        self._connection = connection
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="codebot-store")
        self._groups = Groups(self._start)
        self._settling = Settling()

    def write(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run `work` in a transaction; the future is done once it is on disk."""
        return self.write_bulk(run_each, work)

    def write_bulk(self, bulk: Bulk[Item, T], item: Item) -> asyncio.Future[T]:
        """As `write`, for what arrives often: `bulk` gets the items of many callers at once."""
        if not patience():
            return self._groups.add(bulk, item)
        return self._settling.add(lambda: self._groups.add(bulk, item))

    async def close(self) -> None:
        """Finish what was asked for, then release the connection."""
        self._settling.close()
        await self._settling.finish()
        await self._groups.finish()
        self._thread.shutdown()
        await self._checkpoints.close()
        self._connection.close()

    def _start(self, batch: Sequence[Write[Any, Any]]) -> asyncio.Future[list[Any]]:
        loop = asyncio.get_running_loop()
        committed = loop.run_in_executor(self._thread, self._transact, batch)
        committed.add_done_callback(lambda _: self._checkpoints.wrote())
        return committed

    def _transact(self, batch: Sequence[Write[Any, Any]]) -> list[Any]:
        """Write everything and commit; the only code that runs in the writer thread."""
        with store_faults():
            if self._checkpoints.is_due:
                self._checkpoints.move_rest(self._connection.connection.cursor())
            with self._connection.begin():
                return run_batch(self._connection, batch)
