"""The store: everything Codebot must not forget, in one SQLite database."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from sqlalchemy import Connection
from uuid_utils import uuid7

from codebot.store.database import BUSY_TIMEOUT, open_reader, open_writer
from codebot.store.egress import Accesses
from codebot.store.events import EventRecord, Events
from codebot.store.pull_requests import PullRequests
from codebot.store.reader import Reader
from codebot.store.runs import Runs
from codebot.store.steps import Steps
from codebot.store.submissions import Submissions
from codebot.store.tasks import Tasks
from codebot.store.texts import AgentLog, Diffs
from codebot.store.transitions import Transitions
from codebot.store.writer import Writer


def utc_now() -> datetime:
    """Give the present moment."""
    return datetime.now(UTC)


def new_uuid7() -> str:
    """Give a new id; ids sort by the time they were made."""
    return str(uuid7())


class Store:
    """One database, in parts that are named after what they hold.

    Reads answer at once and belong on the event loop; writes are awaited, and on disk then. All of
    it belongs to the loop that opened it.
    """

    def __init__(
        self,
        writing: Connection,
        reading: sqlite3.Connection,
        *,
        redact: Callable[[str], str],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        redact = _storable(redact)
        self._reading = reading
        self._writer = Writer(writing)
        reader = Reader(reading)
        record = EventRecord(now=now, new_id=new_id, redact=redact)
        self.tasks = Tasks(self._writer, reader)
        self.submissions = Submissions(self._writer, record)
        self.runs = Runs(self._writer, reader, Transitions(record, redact))
        self.steps = Steps(self._writer, reader, record, now=now, redact=redact)
        self.events = Events(self._writer, reader, record)
        self.logs = AgentLog(self._writer, reader, redact)
        self.diffs = Diffs(self._writer, reader, redact)
        self.egress = Accesses(self._writer, reader, record, redact)
        self.pull_requests = PullRequests(self._writer, reader)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        redact: Callable[[str], str] = str,
        now: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = new_uuid7,
        busy_timeout: timedelta = BUSY_TIMEOUT,
    ) -> Self:
        """Open the database file, new or old, and bring its tables up to date.

        `redact` takes the secrets out of every text that tells what happened. Raises
        `StoreUnavailable`.
        """
        writing = await asyncio.to_thread(open_writer, path, busy_timeout=busy_timeout)
        reading = open_reader(path, busy_timeout=busy_timeout)
        return cls(writing, reading, redact=redact, now=now, new_id=new_id)

    async def check_writable(self) -> None:
        """Write a page to the disk, really; raises `StoreUnavailable` when that cannot be done."""
        await self._writer.write(_touch)

    async def close(self) -> None:
        """Finish the writes that were asked for and release the file."""
        await self._writer.close()
        self._reading.close()


def _touch(connection: Connection) -> None:
    """Change nothing, in a way that SQLite writes down all the same."""
    connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")


def _storable(redact: Callable[[str], str]) -> Callable[[str], str]:
    """Give `redact` for texts from outside: half an emoji, which UTF-8 cannot say, becomes `?`."""
    return lambda text: redact(text).encode(errors="replace").decode()
