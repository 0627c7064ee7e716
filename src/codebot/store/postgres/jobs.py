"""The jobs of Procrastinate, one for each run that has not ended, in step with the runs.

A job says that its run waits, or which node is at work on it; all else is in our own tables. So a
job goes as soon as its run ends, and one that waits anew is a new one: nobody who was only slow can
end the job of another. https://procrastinate.readthedocs.io
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from procrastinate.sql import queries
from sqlalchemy import Connection, RowMapping, bindparam, select, text
from sqlalchemy.exc import IntegrityError

from codebot.domain.run import QueueName, Run, RunId
from codebot.store.postgres.faults import state_of, unavailable
from codebot.store.rows import RUN_COLUMNS, time_text, to_run
from codebot.store.schema import is_waiting, runs

TASK_NAME = "codebot.run"

WISHES = "codebot_wishes"
"""The channel in which the ids of runs are said that somebody wants to end."""

_ADD = text("""
    SELECT procrastinate_defer_jobs_v1(array_agg(
        ROW(
            queue, :task, -seq, key, id, jsonb_build_object('run_id', id),
            now() + (not_before::timestamptz - CAST(:now AS timestamptz))
        )::procrastinate_job_to_defer_v1
        ORDER BY seq
    )) FROM runs WHERE id = ANY (:ids)
""")
"""First come, first served, also for a run that comes again: of two jobs, the one of the higher
priority goes first. Times are counted from the server's clock, by which they will be due."""

_REMOVE = text("""
    SELECT procrastinate_finish_job_v1(id, 'succeeded', true) FROM procrastinate_jobs
    WHERE (status = 'todo' AND queueing_lock = :id)
    OR (status = 'doing' AND lock = :key AND queueing_lock = :id)
""")
_RUN = select(*RUN_COLUMNS).where(runs.c.id == bindparam("id"), is_waiting(runs)).with_for_update()
_TELL = text("SELECT pg_notify(:channel, :run)")
_UNKNOWN_WORKER = "23503"
GIVEN_UP = (
    "The other nodes have taken this one for dead.",
    "Nothing to do: it comes in anew. Look at its load, and at the network, if it happens often.",
)
_FETCH, _FINISH = queries["fetch_job"], queries["finish_job"]


class ProcrastinateJobs:
    """Implements `Jobs` for many processes on one database; `worker` is this one's number there."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.worker: int | None = None

    def add(self, connection: Connection, run_ids: Sequence[RunId]) -> None:
        """Let runs wait, each for its own time and for its key."""
        if not run_ids:
            return
        told = {"task": TASK_NAME, "now": time_text(self._now()), "ids": list(run_ids)}
        connection.execute(_ADD, told)

    def remove(self, connection: Connection, run: Run) -> None:
        """Delete the run's job, whose lock goes with it."""
        connection.execute(_REMOVE, {"id": run.id, "key": run.key})

    def take_next(self, connection: Connection, queue: QueueName, now: datetime) -> Run | None:
        """Give the oldest run that is due, whose job is this node's from now on."""
        del now  # when a job is due, the server's clock says
        while True:
            job = self._fetch(connection, queue)
            if job["id"] is None:
                return None
            row = connection.execute(_RUN, {"id": job["args"]["run_id"]}).one_or_none()
            if row is not None:
                return to_run(row)
            forgotten = {"job_id": job["id"], "status": "failed", "delete_job": True}
            connection.exec_driver_sql(_FINISH, forgotten)

    def tell_wish(self, connection: Connection, run: Run) -> None:
        """Say it to all nodes: one of them knows the run."""
        connection.execute(_TELL, {"channel": WISHES, "run": run.id})

    def _fetch(self, connection: Connection, queue: QueueName) -> RowMapping:
        """Take the next job; raises `StoreUnavailable` when the others have given this node up."""
        wanted = {"queues": [queue.value], "worker_id": self.worker}
        try:
            return connection.exec_driver_sql(_FETCH, wanted).mappings().one()
        except IntegrityError as error:
            if state_of(error) != _UNKNOWN_WORKER:
                raise
            raise unavailable(*GIVEN_UP) from error
