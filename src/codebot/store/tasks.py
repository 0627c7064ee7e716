"""Tasks: point reads that fit on the event loop, lists by keyset, and their removal."""

import heapq
from collections.abc import Collection
from datetime import datetime
from functools import partial
from itertools import islice

from sqlalchemy import Connection, Table, bindparam, delete, select

from codebot.domain.status import TaskStatus
from codebot.domain.task import Task, TaskId
from codebot.store.database import Reader, Row, Writer
from codebot.store.query import Query
from codebot.store.rows import HEAD_LENGTH, TASK_COLUMNS, time_text, to_task
from codebot.store.schema import (
    agent_log,
    descriptions,
    diffs,
    effects,
    egress,
    events,
    is_live,
    parcels,
    request_keys,
    runs,
    steps,
    tasks,
)

_GET = Query(select(*TASK_COLUMNS).where(tasks.c.id == bindparam("id")))
_SEQ = Query(select(tasks.c.seq).where(tasks.c.id == bindparam("id")))
_GOES_ON = Query(select(tasks.c.status).where(tasks.c.id == bindparam("id")))
_DESCRIPTION = Query(select(descriptions.c.text).where(descriptions.c.task_id == bindparam("id")))
_NEWEST = (
    select(tasks.c.seq, *TASK_COLUMNS)
    .where(tasks.c.seq < bindparam("before"))
    .order_by(tasks.c.seq.desc())
    .limit(bindparam("limit"))
)
_RECENT = Query(_NEWEST)
_RECENT_BY_STATUS = Query(_NEWEST.where(tasks.c.status == bindparam("status")))
_EXPIRED = Query(
    select(tasks.c.id)
    .where(
        tasks.c.completed_at.is_not(None),
        tasks.c.completed_at < bindparam("before"),
        ~select(runs.c.seq).where(runs.c.task_id == tasks.c.id, is_live(runs)).exists(),
    )
    .order_by(tasks.c.completed_at)
    .limit(bindparam("limit"))
)
_LONG_TABLES = (agent_log, events)
_SHORT_TABLES = (descriptions, diffs, effects, egress, parcels, request_keys, steps, runs)
_ROWS_AT_ONCE = 500
_NEWER_THAN_ALL = 1 << 62


class Tasks:
    """Every task the service knows."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def get(self, task_id: TaskId) -> Task | None:
        """Give one task, whole, or None."""
        row = await self._reader.first(_GET, {"id": task_id})
        if row is None:
            return None
        return to_task(row, await self._whole_description(task_id, row))

    async def recent(
        self,
        status: Collection[TaskStatus] | None,
        limit: int,
        before: TaskId | None = None,
    ) -> list[Task]:
        """Give the newest tasks, newest first; `before` goes on after the last one of a page.

        Descriptions are cut to 1,001 characters, so that a caller who shows 1,000 can tell.
        """
        seq = _NEWER_THAN_ALL if before is None else await self._seq(before)
        parameters = {"before": seq, "limit": limit}
        if status is None:
            return [to_task(row[1:]) for row in await self._reader.all(_RECENT, parameters)]
        # One indexed walk per status, merged: with IN, SQLite would sort every task there is.
        walks = [
            await self._reader.all(_RECENT_BY_STATUS, {**parameters, "status": one.value})
            for one in status
        ]
        merged = heapq.merge(*walks, key=lambda row: row[0], reverse=True)
        return [to_task(row[1:]) for row in islice(merged, limit)]

    async def expired(self, before: datetime, limit: int = 1000) -> list[TaskId]:
        """Give the tasks that ended before that moment, the oldest first, `limit` at most."""
        parameters = {"before": time_text(before), "limit": limit}
        return [TaskId(id_) for (id_,) in await self._reader.all(_EXPIRED, parameters)]

    async def needs_workspace(self, task_id: TaskId) -> bool:
        """Say whether there is such a task, and it was not cancelled: what failed is looked at."""
        row = await self._reader.first(_GOES_ON, {"id": task_id})
        return row is not None and row[0] != TaskStatus.CANCELLED.value

    async def is_known(self, task_id: TaskId) -> bool:
        """Say whether there is such a task."""
        return await self._reader.first(_SEQ, {"id": task_id}) is not None

    async def begin_removal(self, task_id: TaskId) -> bool:
        """Have no further run of an ended task begin; False for one that is not over any more.

        Somebody may retry it while its removal is on the way: what has no runs cannot be retried.
        """
        return await self._writer.write(partial(_delete_runs, task_id))

    async def delete(self, task_id: TaskId) -> None:
        """Remove a task and all that is its own; its pull request's record stays.

        In small commits, the task's own row last: no submit waits behind a long log, and what a
        crash leaves half removed is found again.
        """
        for table in _LONG_TABLES:
            while await self._writer.write(partial(_delete_some, table, task_id)):
                pass
        await self._writer.write(partial(_delete_rest, task_id))

    async def _seq(self, task_id: TaskId) -> int:
        """Give the place of a task in the list; an unknown one is before everything."""
        row = await self._reader.first(_SEQ, {"id": task_id})
        return 0 if row is None else row[0]

    async def _whole_description(self, task_id: TaskId, row: Row) -> str | None:
        """Fetch a description that is longer than its head; None when the head is all."""
        if len(row[-1]) < HEAD_LENGTH:
            return None
        whole = await self._reader.first(_DESCRIPTION, {"id": task_id})
        return None if whole is None else whole[0]


def _delete_runs(task_id: TaskId, connection: Connection) -> bool:
    """Delete the runs of a task if none is live; say whether that was so."""
    live = select(runs.c.seq).where(runs.c.task_id == task_id, is_live(runs)).with_for_update()
    locked = select(tasks.c.completed_at).where(tasks.c.id == task_id).with_for_update()
    if connection.execute(live).first() is not None:
        return False
    if connection.execute(locked).scalar_one_or_none() is None:
        return False
    connection.execute(delete(runs).where(runs.c.task_id == task_id))
    return True


def _delete_some(table: Table, task_id: TaskId, connection: Connection) -> int:
    """Delete some rows of a task; give how many went, 0 when none is left."""
    some = select(table.c.seq).where(table.c.task_id == task_id).limit(_ROWS_AT_ONCE)
    return connection.execute(delete(table).where(table.c.seq.in_(some))).rowcount


def _delete_rest(task_id: TaskId, connection: Connection) -> None:
    """Delete what has few rows, and the task itself."""
    for table in _SHORT_TABLES:
        connection.execute(delete(table).where(table.c.task_id == task_id))
    connection.execute(delete(tasks).where(tasks.c.id == task_id))
