"""What the boxes of each task reached and were refused, added up: few rows, whatever they try."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, bindparam, func, select

from codebot.domain.egress import AccessVerdict
from codebot.domain.event import EventType
from codebot.domain.run import RunId
from codebot.domain.status import RunStatus
from codebot.domain.task import TaskId
from codebot.errors import NotFound
from codebot.store.beside import reader_beside
from codebot.store.database import Reader, Row, Writer
from codebot.store.dialect import write_in_turn
from codebot.store.events import EventRecord, insert_events
from codebot.store.many import InsertMany
from codebot.store.query import Query
from codebot.store.rows import time_text
from codebot.store.schema import egress, runs, tasks

MOST_NAMED = 99
"""Rows of one task and one verdict; with one more for all further hosts these are 100.

Each verdict has rows of its own: a flood of refusals hides nothing of what was reached.
"""

OTHER_HOSTS = "(other hosts)"
"""Stands for every host beyond those; no host's own name has a space."""

MOST_TOLD = 50
"""Events of one task that tell of a refused host; its rows count on."""

AccessKey = tuple[str, int, AccessVerdict, str]
"""What accesses have in common that are added up: host, port, verdict and reason."""


@dataclass(frozen=True, slots=True)
class AccessTotal:
    """Accesses of one task that were alike, added up. Bytes as the boxes see them; aware UTC."""

    host: str
    port: int
    verdict: AccessVerdict
    reason: str
    count: int
    sent: int
    received: int
    first_at: datetime
    last_at: datetime

    @property
    def key(self) -> AccessKey:
        """What it is a total of."""
        return self.host, self.port, self.verdict, self.reason

    def __add__(self, other: "AccessTotal") -> "AccessTotal":
        """Add further accesses of the same kind."""
        return replace(
            self,
            count=self.count + other.count,
            sent=self.sent + other.sent,
            received=self.received + other.received,
            first_at=min(self.first_at, other.first_at),
            last_at=max(self.last_at, other.last_at),
        )

    def as_other(self) -> "AccessTotal":
        """Give it as a part of what all further hosts of its verdict come to."""
        return replace(self, host=OTHER_HOSTS, port=0, reason="")


_COLUMNS = tuple(column.name for column in egress.c)
_add_rows = InsertMany(
    egress,
    _COLUMNS,
    on_conflict="ON CONFLICT (task_id, host, port, verdict, reason) DO UPDATE SET"
    " count = egress.count + excluded.count,"
    " sent = egress.sent + excluded.sent,"
    " received = egress.received + excluded.received,"
    " first_at = CASE WHEN excluded.first_at < egress.first_at"
    " THEN excluded.first_at ELSE egress.first_at END,"
    " last_at = CASE WHEN excluded.last_at > egress.last_at"
    " THEN excluded.last_at ELSE egress.last_at END",
)
_OF_TASK = Query(
    select(*(column for column in egress.c if column.name != "task_id"))
    .where(egress.c.task_id == bindparam("task_id"))
    .order_by(egress.c.verdict.desc(), egress.c["count"].desc(), egress.c.host, egress.c.port)
)
_times = func.sum(egress.c["count"])
_REFUSED = Query(
    select(egress.c.host, _times)
    .where(
        egress.c.task_id == bindparam("task_id"),
        egress.c.verdict == AccessVerdict.REFUSED.value,
    )
    .group_by(egress.c.host)
    .order_by(egress.c.host == OTHER_HOSTS, _times.desc(), egress.c.host)
)
_IS_KNOWN = Query(select(tasks.c.seq).where(tasks.c.id == bindparam("task_id")))
_KEYS = select(egress.c.host, egress.c.port, egress.c.verdict, egress.c.reason).where(
    egress.c.task_id == bindparam("task_id")
)
_TASK = select(tasks.c.completed_at).where(tasks.c.id == bindparam("task_id"))
_RUNNING = select(runs.c.id).where(
    runs.c.task_id == bindparam("task_id"), runs.c.status == RunStatus.RUNNING.value
)


class Accesses:
    """What every task reached and what it was refused."""

    def __init__(
        self, writer: Writer, reader: Reader, record: EventRecord, redact: Callable[[str], str]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._record = record
        self._redact = redact

    async def add(self, totals: Mapping[TaskId, Iterable[AccessTotal]]) -> None:
        """Add to what is on record, of many tasks in one transaction.

        A refused host is told of as an event the first time, while its task has not ended. What
        a task did that is gone by now is dropped.
        """
        clean = {task_id: self._redacted(added) for task_id, added in totals.items()}

        def add(connection: Connection) -> None:
            write_in_turn(connection, tasks, clean)
            for task_id, added in clean.items():
                self._add(connection, task_id, added)

        await self._writer.write(add)

    async def of_task(self, task_id: TaskId) -> list[AccessTotal]:
        """Give what a task was refused and what it reached, the most frequent of each first."""
        return await _totals(self._reader, task_id)

    async def refused(self, task_id: TaskId) -> dict[str, int]:
        """Say how often a task was refused each host, the most frequent first."""
        rows = await self._reader.all(_REFUSED, {"task_id": task_id})
        return {host: int(times) for host, times in rows}

    def _redacted(self, totals: Iterable[AccessTotal]) -> list[AccessTotal]:
        """Give the totals without secrets: a host's name is a way to say one."""
        return add_up(
            replace(each, host=self._redact(each.host), reason=self._redact(each.reason))
            for each in totals
        )

    def _add(self, connection: Connection, task_id: TaskId, totals: Sequence[AccessTotal]) -> None:
        """Write what is added to one task, and tell of hosts that were not refused before."""
        known = {"task_id": task_id}
        task = connection.execute(_TASK, known).one_or_none()
        if task is None:
            return
        rows = connection.execute(_KEYS, known)
        before = {(host, port, AccessVerdict(word), why) for host, port, word, why in rows}
        bounded = add_up(_bounded(totals, before))
        _add_rows(connection, [_to_row(task_id, each) for each in bounded])
        (completed_at,) = task
        if completed_at is None:  # nothing follows the event that a task has ended
            self._tell(connection, task_id, list(_news(bounded, before)))

    def _tell(self, connection: Connection, task_id: TaskId, news: Sequence[AccessTotal]) -> None:
        """Add an event for each, under the run that is at work on the task."""
        if news:
            running = connection.execute(_RUNNING, {"task_id": task_id}).scalar()
            run_id = None if running is None else RunId(running)
            row, kind = self._record.row, EventType.EGRESS_REFUSED
            insert_events(connection, [row(task_id, run_id, kind, _told(each)) for each in news])


async def read_egress(database: Path | str, task_id: TaskId) -> list[AccessTotal]:
    """Give what a task was refused and reached, from the database of a service, running or not.

    Raises `NotFound` when there is no such task or no database.
    """
    async with reader_beside(database) as reader:
        if await reader.first(_IS_KNOWN, {"task_id": task_id}) is None:
            raise NotFound(
                f"There is no task {task_id} in the database.",
                hint="A task is forgotten CODEBOT_TASK_RETENTION seconds after it ended.",
            )
        return await _totals(reader, task_id)


def add_up(totals: Iterable[AccessTotal]) -> list[AccessTotal]:
    """Give one total for each kind of access."""
    sums: dict[AccessKey, AccessTotal] = {}
    for each in totals:
        there = sums.get(each.key)
        sums[each.key] = each if there is None else there + each
    return list(sums.values())


def _bounded(totals: Iterable[AccessTotal], before: set[AccessKey]) -> Iterator[AccessTotal]:
    """Give every total by its name while there is room for it, the rest as others."""
    named = set(before)
    room = {
        verdict: MOST_NAMED - sum(key[0] != OTHER_HOSTS and key[2] is verdict for key in before)
        for verdict in AccessVerdict
    }
    for each in totals:
        if each.key not in named:
            if room[each.verdict] <= 0:
                yield each.as_other()
                continue
            room[each.verdict] -= 1
            named.add(each.key)
        yield each


def _news(totals: Iterable[AccessTotal], before: Iterable[AccessKey]) -> Iterator[AccessTotal]:
    """Give one total for each host that was not refused before, while events are left."""
    told = {(host, port) for host, port, verdict, _ in before if _is_telling(host, verdict)}
    for each in totals:
        place = each.host, each.port
        if _is_telling(each.host, each.verdict) and place not in told and len(told) < MOST_TOLD:
            told.add(place)
            yield each


def _is_telling(host: str, verdict: AccessVerdict) -> bool:
    return verdict is AccessVerdict.REFUSED and host != OTHER_HOSTS


def _told(total: AccessTotal) -> dict[str, object]:
    """Give what an event says about a refused host."""
    return {"host": total.host, "port": total.port, "reason": total.reason}


async def _totals(reader: Reader, task_id: TaskId) -> list[AccessTotal]:
    return [_to_total(row) for row in await reader.all(_OF_TASK, {"task_id": task_id})]


def _to_row(task_id: TaskId, total: AccessTotal) -> dict[str, object]:
    """Give the columns of a total."""
    return {
        "task_id": task_id,
        "host": total.host,
        "port": total.port,
        "verdict": total.verdict.value,
        "reason": total.reason,
        "count": total.count,
        "sent": total.sent,
        "received": total.received,
        "first_at": time_text(total.first_at),
        "last_at": time_text(total.last_at),
    }


def _to_total(row: Row) -> AccessTotal:
    """Give the total of a row."""
    host, port, verdict, reason, count, sent, received, first_at, last_at = row
    moments = datetime.fromisoformat(first_at), datetime.fromisoformat(last_at)
    return AccessTotal(host, port, AccessVerdict(verdict), reason, count, sent, received, *moments)
