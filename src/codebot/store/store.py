"""The store: everything Codebot must not forget, in one database, SQLite or PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import ColumnClause, Connection, column, table, update
from uuid_utils import uuid7

from codebot.store.database import Reader, Writer
from codebot.store.effects import Effects
from codebot.store.egress import Accesses
from codebot.store.events import EventRecord, Events
from codebot.store.jobs import Jobs, NoJobs
from codebot.store.parcels import Parcels
from codebot.store.pull_requests import PullRequests
from codebot.store.request_keys import RequestKeys
from codebot.store.runs import Runs
from codebot.store.sqlite.checkpoints import Pace
from codebot.store.sqlite.file import BUSY_TIMEOUT, open_checkpoints, open_reader, open_writer
from codebot.store.sqlite.reader import SQLiteReader
from codebot.store.sqlite.writer import SQLiteWriter
from codebot.store.steps import Steps
from codebot.store.submissions import Submissions
from codebot.store.tasks import Tasks
from codebot.store.texts import AgentLog, Diffs
from codebot.store.transitions import Transitions
from codebot.store.upgrade import VERSION_TABLE
from codebot.store.wishes import Wishes

if TYPE_CHECKING:
    from codebot.store.postgres.nodes import Nodes


def utc_now() -> datetime:
    """Give the present moment."""
    return datetime.now(UTC)


def new_uuid7() -> str:
    """Give a new id; ids sort by the time they were made."""
    return str(uuid7())


class Store:
    """One database, in parts that are named after what they hold.

    All of it is awaited, and belongs to the loop that opened it. A read gives what is committed:
    from SQLite at once, from PostgreSQL through a pool. A write is on disk when it returns. `nodes`
    are the processes that share it, None where there is only one.
    """

    def __init__(
        self,
        opened: "Opened",
        *,
        redact: Callable[[str], str],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        redact = _storable(redact)
        record = EventRecord(now=now, new_id=new_id, redact=redact)
        writer, reader, jobs = opened.writer, opened.reader, opened.jobs
        transitions = Transitions(record, redact, jobs)
        self._writer = writer
        self._close = opened.close
        self.nodes = opened.nodes and opened.nodes(transitions, now)
        self.tasks = Tasks(writer, reader)
        self.submissions = Submissions(writer, record, jobs)
        self.request_keys = RequestKeys(reader)
        self.runs = Runs(writer, reader, transitions, jobs)
        self.wishes = Wishes(writer, reader, transitions, jobs)
        self.steps = Steps(writer, reader, record, now=now, redact=redact)
        self.effects = Effects(writer, reader, record, now)
        self.events = Events(writer, reader, record)
        self.logs = AgentLog(writer, reader, redact)
        self.diffs = Diffs(writer, reader, redact)
        self.parcels = Parcels(writer, reader)
        self.egress = Accesses(writer, reader, record, redact)
        self.pull_requests = PullRequests(writer, reader, redact)

    @classmethod
    async def open(
        cls,
        database: Path | str,
        *,
        direct: str | None = None,
        redact: Callable[[str], str] = str,
        now: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = new_uuid7,
        busy_timeout: timedelta = BUSY_TIMEOUT,
    ) -> Self:
        """Open a SQLite file, or the PostgreSQL database of a URL, and bring its tables up to date.

        `direct` is the URL by which the server itself is reached where the other leads to a pooler.
        `redact` takes the secrets out of every text that tells what happened. Raises
        `StoreUnavailable`, and `ConfigError` for a database that cannot be used.
        """
        opened = (
            await _open_file(database, busy_timeout)
            if isinstance(database, Path)
            else await _open_server(database, direct or database, now)
        )
        return cls(opened, redact=redact, now=now, new_id=new_id)

    async def check_writable(self) -> None:
        """Write a page to the disk, really; raises `StoreUnavailable` when that cannot be done."""
        await self._writer.write(_touch)

    async def close(self) -> None:
        """Finish the writes that were asked for and release the database."""
        await self._close()


@dataclass(frozen=True, slots=True)
class Opened:
    """What a kind of database gives the parts of the store."""

    writer: Writer
    reader: Reader
    jobs: Jobs
    close: Callable[[], Awaitable[None]]
    nodes: "Callable[[Transitions, Callable[[], datetime]], Nodes] | None" = None


async def _open_file(path: Path, busy_timeout: timedelta) -> Opened:
    writing = await asyncio.to_thread(open_writer, path, busy_timeout=busy_timeout)
    reading = open_reader(path, busy_timeout=busy_timeout)
    writer = SQLiteWriter(writing, open_checkpoints(path, Pace()))

    async def close() -> None:
        await writer.close()
        reading.close()

    return Opened(writer, SQLiteReader(reading), NoJobs(), close)


async def _open_server(url: str, direct: str, now: Callable[[], datetime]) -> Opened:
    from codebot.store.postgres.connections import PostgresReader, PostgresWriter
    from codebot.store.postgres.jobs import ProcrastinateJobs
    from codebot.store.postgres.nodes import Nodes
    from codebot.store.postgres.opening import open_postgres
    from codebot.store.postgres.place import Place

    pool = await open_postgres(url)
    writer, reader, jobs = PostgresWriter(pool), PostgresReader(pool), ProcrastinateJobs(now)

    async def close() -> None:
        await writer.finish()
        await pool.dispose()

    nodes = partial(Nodes, writer, reader, jobs, Place.of(direct))
    return Opened(writer, reader, jobs, close, nodes)


def _touch(connection: Connection) -> None:
    """Change nothing, in a way that the database writes down all the same."""
    version: ColumnClause[str] = column("version_num")
    connection.execute(update(table(VERSION_TABLE, version)).values(version_num=version))


def _storable(redact: Callable[[str], str]) -> Callable[[str], str]:
    """Give `redact` for texts from outside; what no database keeps as text becomes `?`.

    That is half an emoji, which UTF-8 cannot say, and NUL, which PostgreSQL does not take.
    """
    return lambda text: redact(text).encode(errors="replace").decode().replace("\0", "?")
