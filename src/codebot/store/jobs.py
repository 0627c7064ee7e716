"""Which run is next: the runs themselves say so, or a queue that is kept in step with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, bindparam, or_, select

from codebot.domain.run import QueueName, Run, RunId
from codebot.domain.status import RunStatus
from codebot.store.rows import RUN_COLUMNS, time_text, to_run
from codebot.store.schema import is_live, is_waiting, runs

_other = runs.alias("other")
_NEXT_RUN = (
    select(*RUN_COLUMNS)
    .where(
        is_waiting(runs),
        runs.c.queue == bindparam("queue"),
        or_(runs.c.not_before.is_(None), runs.c.not_before <= bindparam("now")),
        # A run waits for its key: for the one that runs, and for those that came before it.
        ~select(_other.c.seq)
        .where(
            is_live(_other),
            _other.c.key == runs.c.key,
            or_(_other.c.seq < runs.c.seq, _other.c.status == RunStatus.RUNNING.value),
        )
        .exists(),
    )
    .order_by(runs.c.seq)
    .limit(1)
)


class Jobs(Protocol):
    """What a database keeps of the runs that have not ended, for those who look for the next one.

    All of it belongs to the transaction that changes the runs: a run and its job cannot come apart.
    """

    def add(self, connection: Connection, run_ids: Sequence[RunId]) -> None:
        """Let runs wait that are stored as waiting."""
        ...

    def remove(self, connection: Connection, run: Run) -> None:
        """Forget the run's job, whether it waits or is being done."""
        ...

    def take_next(self, connection: Connection, queue: QueueName, now: datetime) -> Run | None:
        """Give the oldest run that is due, None where none is; the caller starts it."""
        ...

    def tell_wish(self, connection: Connection, run: Run) -> None:
        """Let whoever works on the run hear that somebody wants it to end."""
        ...


class NoJobs:
    """Implements `Jobs` where one process owns the database: the runs alone say all there is."""

    def add(self, connection: Connection, run_ids: Sequence[RunId]) -> None:
        """Do nothing: a run that waits is found by its status."""

    def remove(self, connection: Connection, run: Run) -> None:
        """Do nothing: so is one that does not."""

    def take_next(self, connection: Connection, queue: QueueName, now: datetime) -> Run | None:
        """Give the oldest run that is due and whose key is free."""
        due = {"queue": queue.value, "now": time_text(now)}
        row = connection.execute(_NEXT_RUN, due).one_or_none()
        return None if row is None else to_run(row)

    def tell_wish(self, connection: Connection, run: Run) -> None:
        """Do nothing: whoever works on it is told in this process."""
