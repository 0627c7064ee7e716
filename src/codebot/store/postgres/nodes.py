"""The processes that work on tasks, as the others see them: alive for as long as their hearts beat.

All is measured by the server's clock: that of a node may be wrong.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from procrastinate.sql import queries
from sqlalchemy import Connection, RowMapping, Select, bindparam, literal_column, select, text

from codebot.domain.run import QueueName, Run
from codebot.domain.status import RunStatus
from codebot.store.database import Reader, Writer
from codebot.store.postgres.jobs import ProcrastinateJobs
from codebot.store.postgres.listener import Listener
from codebot.store.postgres.place import Place
from codebot.store.query import Query
from codebot.store.rows import RUN_COLUMNS, to_run
from codebot.store.schema import runs
from codebot.store.transitions import Poison, Transitions

_SIGN = text("""
    INSERT INTO nodes (name, worker_id) VALUES (:name, :worker)
    ON CONFLICT (name) DO UPDATE SET worker_id = excluded.worker_id
""")
_PREDECESSOR = text("SELECT worker_id FROM nodes WHERE name = :name FOR UPDATE")
_JOBS_OF = text("""
    SELECT id, args, worker_id FROM procrastinate_jobs
    WHERE status = 'doing' AND worker_id = :worker
""")
_STILL = text("""
    SELECT true FROM procrastinate_jobs
    WHERE id = :id AND status = 'doing' AND worker_id IS NOT DISTINCT FROM :worker
""")
_BEAT = text("""
    UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = :worker RETURNING true
""")
_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(7161346302452)")
_YES: Select[Any] = select(literal_column("true"))
_HAS_DUE = Query(
    _YES.where(
        text("""
        EXISTS (
            SELECT FROM procrastinate_jobs WHERE status = 'todo' AND queue_name = :queue
            AND (scheduled_at IS NULL OR scheduled_at <= now())
        )
    """)
    )
)
_HAS_DEAD = Query(
    _YES.where(
        text("""
        EXISTS (
            SELECT FROM procrastinate_workers
            WHERE last_heartbeat < now() - make_interval(secs => :seconds)
        )
        OR EXISTS (
            SELECT FROM procrastinate_jobs WHERE status = 'doing' AND worker_id IS NULL
        )
    """)
    )
)
_FORGET_ME = text("DELETE FROM nodes WHERE worker_id = :worker")
_FORGET = text("DELETE FROM nodes WHERE worker_id NOT IN (SELECT id FROM procrastinate_workers)")
_MINE = select(*RUN_COLUMNS).where(
    text("""
    runs.id IN (
        SELECT args ->> 'run_id' FROM procrastinate_jobs
        WHERE status = 'doing' AND worker_id = :worker
    )
""")
)
_TAKE = (
    select(*RUN_COLUMNS)
    .where(runs.c.id == bindparam("id"), runs.c.status == RunStatus.RUNNING.value)
    .with_for_update(skip_locked=True)
)


class Nodes:
    """Who is at work on the runs of one database; this process is one of them once it arrived."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        jobs: ProcrastinateJobs,
        place: Place,
        transitions: Transitions,
        now: Callable[[], datetime],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._jobs = jobs
        self._place = place
        self._transitions = transitions
        self._now = now

    def listener(
        self, channels: Mapping[str, Callable[[str], None]], on_return: Callable[[], None]
    ) -> Listener:
        """Give what hears the others; `on_return` is called whenever it begins to."""
        return Listener(self._place, channels, on_return)

    async def arrive(self, name: str | None, poison: Poison) -> int:
        """Count this process among the living, and put back what its predecessor left running.

        That one bore the same `name`, and is dead; None has none. Says how many runs were put back.
        """

        def arrive(connection: Connection) -> tuple[int, int]:
            count = 0
            before = connection.execute(_PREDECESSOR, {"name": name}).scalar()
            if before is not None:
                left = connection.execute(_JOBS_OF, {"worker": before}).mappings().all()
                count = self._put_back(connection, left, poison)
                _run(connection, "unregister_worker", worker_id=before)
            worker = _register(connection)
            if name is not None:
                connection.execute(_SIGN, {"name": name, "worker": worker})
            return worker, count

        self._jobs.worker, count = await self._writer.write(arrive)
        return count

    async def beat(self) -> list[Run]:
        """Show that this process lives, and give the runs that are its.

        Who was taken for dead meanwhile has none, and comes in anew.
        """
        worker = self._jobs.worker

        def beat(connection: Connection) -> tuple[int, list[Run]]:
            if worker is None or not connection.execute(_BEAT, {"worker": worker}).scalar():
                return _register(connection), []
            return worker, [to_run(row) for row in connection.execute(_MINE, {"worker": worker})]

        self._jobs.worker, mine = await self._writer.write(beat)
        return mine

    async def has_due(self, queue: QueueName) -> bool:
        """Say whether a run of the queue may be due: a third of what it costs to claim none."""
        return await self._reader.first(_HAS_DUE, {"queue": queue.value}) is not None

    async def has_dead(self, dead_after: timedelta) -> bool:
        """Say whether there is anybody whose runs have to be put back."""
        silent = {"seconds": dead_after.total_seconds()}
        return await self._reader.first(_HAS_DEAD, silent) is not None

    async def rescue(self, dead_after: timedelta, poison: Poison) -> int:
        """Put back the runs of the dead; say how many. Of several who try at once, one does."""
        silent = {"seconds_since_heartbeat": dead_after.total_seconds()}

        def rescue(connection: Connection) -> int:
            if not connection.execute(_ONE_AT_A_TIME).scalar():
                return 0
            whose = {"queue": None, "task_name": None, **silent}
            stalled = _run(connection, "select_stalled_jobs_by_heartbeat", **whose)
            count = self._put_back(connection, stalled, poison)
            _run(connection, "prune_stalled_workers", **silent)
            connection.execute(_FORGET)
            return count

        return await self._writer.write(rescue)

    async def leave(self) -> None:
        """Go; what could not be put back is anybody's at once."""
        worker = self._jobs.worker

        def leave(connection: Connection) -> None:
            connection.execute(_FORGET_ME, {"worker": worker})
            _run(connection, "unregister_worker", worker_id=worker)

        await self._writer.write(leave)

    def _put_back(self, connection: Connection, jobs: Iterable[RowMapping], poison: Poison) -> int:
        """Put back the runs of these jobs, as far as they are still what the jobs say."""
        count = 0
        for job in jobs:
            row = connection.execute(_TAKE, {"id": job["args"]["run_id"]}).one_or_none()
            # Only now does it stand still, and somebody else may have been quicker.
            same = {"id": job["id"], "worker": job["worker_id"]}
            if row is not None and connection.execute(_STILL, same).scalar():
                self._transitions.lose(connection, to_run(row), poison, self._now())
                count += 1
        return count


def _register(connection: Connection) -> int:
    (row,) = _run(connection, "register_worker")
    worker: int = row["worker_id"]
    return worker


def _run(connection: Connection, query: str, **parameters: object) -> list[RowMapping]:
    """Run one of Procrastinate's own statements."""
    found = connection.exec_driver_sql(queries[query], parameters)
    return list(found.mappings())
