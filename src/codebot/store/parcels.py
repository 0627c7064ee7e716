"""The newest change of each task, kept for a node that never saw its workspace."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select

from codebot.domain.run import Run
from codebot.store.database import Reader, Writer
from codebot.store.dialect import upsert
from codebot.store.fence import require_run
from codebot.store.query import Query
from codebot.store.schema import parcels

_GET = Query(
    select(parcels.c.round, parcels.c.data).where(
        parcels.c.task_id == bindparam("task_id"), parcels.c.run_id == bindparam("run_id")
    )
)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A change as its node packed it, and the round that it came of."""

    round: int
    data: bytes


class Parcels:
    """At most one a task."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def put(self, run: Run, parcel: Parcel) -> None:
        """Keep it in place of an earlier one. Fenced."""
        row = {"task_id": run.task_id, "run_id": run.id}
        columns = {"run_id": run.id, "round": parcel.round, "data": parcel.data}

        def put(connection: Connection) -> None:
            require_run(connection, run)
            upsert(connection, parcels, row | columns, columns)

        await self._writer.write(put)

    async def get(self, run: Run) -> Parcel | None:
        """Give the one of this run, None where there is none."""
        row = await self._reader.first(_GET, {"task_id": run.task_id, "run_id": run.id})
        return None if row is None else Parcel(row[0], bytes(row[1]))

    async def remove(self, run: Run) -> None:
        """Forget it. Fenced."""

        def remove(connection: Connection) -> None:
            require_run(connection, run)
            connection.execute(delete(parcels).where(parcels.c.task_id == run.task_id))

        await self._writer.write(remove)
