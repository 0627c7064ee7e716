"""The append-only record of what happened to every task."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from codebot.domain.event import Event, EventData, EventType
from codebot.domain.run import Run, RunId
from codebot.domain.task import TaskId
from codebot.store.database import Reader, Row, Writer
from codebot.store.dialect import write_in_turn
from codebot.store.fence import require_run
from codebot.store.many import InsertMany
from codebot.store.query import Query
from codebot.store.rows import moment, time_text
from codebot.store.schema import events, tasks

insert_events = InsertMany(events, ("id", "type", "time", "task_id", "run_id", "data"))
_encode = json.JSONEncoder(ensure_ascii=False).encode

_AFTER = Query(
    select(events)
    .where(events.c.task_id == bindparam("task_id"), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(bindparam("limit"))
)
_NEWEST = select(func.max(events.c.seq)).where(events.c.seq > 0).scalar_subquery()
_NEWEST_TIME = Query(select(events.c.time).where(events.c.seq == _NEWEST))


class EventRecord:
    """Makes event rows: gives each its id and time, and keeps secrets out of its data."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        redact: Callable[[str], str],
    ) -> None:
        self._now = now
        self._new_id = new_id
        self._redact = redact

    def row(
        self, task_id: TaskId, run_id: RunId | None, type_: EventType, data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Give the columns of one event that happens now."""
        return {
            "id": self._new_id(),
            "type": type_.value,
            "time": time_text(self._now()),
            "task_id": task_id,
            "run_id": run_id,
            "data": _encode(self._redacted(data)),
        }

    def of_run(self, connection: Connection, run: Run, happened: Sequence[EventData]) -> None:
        """Add events of one run to the transaction that makes them true."""
        if happened:
            rows = [self.row(run.task_id, run.id, type_, data) for type_, data in happened]
            write_in_turn(connection, tasks, [run.task_id])
            insert_events(connection, rows)

    def _redacted(self, value: Any) -> Any:  # noqa: ANN401  anything that JSON can say
        """Give the value with every text in it redacted."""
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {self._redact(str(key)): self._redacted(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._redacted(item) for item in value]
        return value


class Events:
    """Appends and reads what happened."""

    def __init__(self, writer: Writer, reader: Reader, record: EventRecord) -> None:
        self._writer = writer
        self._reader = reader
        self._record = record

    async def append(
        self, task_id: TaskId, run_id: RunId | None, type_: EventType, data: Mapping[str, Any]
    ) -> None:
        """Record one event; for what a run does itself use `tell`, which is fenced."""
        row = self._record.row(task_id, run_id, type_, data)
        await self._writer.write_bulk(_insert_rows, row)

    async def tell(self, run: Run, type_: EventType, data: Mapping[str, Any]) -> None:
        """Record one event of a run; raises `RunLost` when the run is not this worker's."""

        def add(connection: Connection) -> None:
            require_run(connection, run)
            self._record.of_run(connection, run, [(type_, data)])

        await self._writer.write(add)

    async def newest_time(self) -> datetime | None:
        """Say when the last thing happened, None where nothing ever did."""
        row = await self._reader.first(_NEWEST_TIME, {})
        return None if row is None else moment(row[0])

    async def after(self, task_id: TaskId, seq: int, limit: int) -> list[Event]:
        """Give the events of a task that follow number `seq`, oldest first.

        Who goes on after the last one misses none: what is written later has a higher number.
        """
        parameters = {"task_id": task_id, "after": seq, "limit": limit}
        return [_to_event(row) for row in await self._reader.all(_AFTER, parameters)]


def _insert_rows(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    """Insert the events of many callers with one statement."""
    write_in_turn(connection, tasks, {row["task_id"] for row in rows})
    insert_events(connection, rows)
    return [None] * len(rows)


def _to_event(row: Row) -> Event:
    """Give the event of a row."""
    seq, id_, type_, time, task_id, run_id, data = row
    return Event(
        id_,
        seq,
        EventType(type_),
        datetime.fromisoformat(time),
        TaskId(task_id),
        None if run_id is None else RunId(run_id),
        json.loads(data),
    )
