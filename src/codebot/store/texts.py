"""Large texts of a task, in tables of their own: no status read ever touches them."""

from collections.abc import Callable

from sqlalchemy import Connection, bindparam, insert, select

from codebot.domain.run import Run
from codebot.domain.task import TaskId
from codebot.store.database import Reader, Writer
from codebot.store.dialect import upsert
from codebot.store.fence import require_run
from codebot.store.query import Query
from codebot.store.schema import agent_log, diffs

_LOG = Query(
    select(agent_log.c.text)
    .where(agent_log.c.task_id == bindparam("task_id"))
    .order_by(agent_log.c.seq)
)
_DIFF = Query(select(diffs.c.text).where(diffs.c.task_id == bindparam("task_id")))


class AgentLog:
    """What the agent printed, as it came."""

    def __init__(self, writer: Writer, reader: Reader, redact: Callable[[str], str]) -> None:
        self._writer = writer
        self._reader = reader
        self._redact = redact

    async def append(self, run: Run, text: str) -> None:
        """Add to the log; give whole lines, so that no secret is cut in two. Fenced."""
        row = {"task_id": run.task_id, "run_id": run.id, "text": self._redact(text)}

        def append(connection: Connection) -> None:
            require_run(connection, run)
            connection.execute(insert(agent_log), row)

        await self._writer.write(append)

    async def text(self, task_id: TaskId) -> str:
        """Give the whole log, "" when there is none."""
        return "".join(text for (text,) in await self._reader.all(_LOG, {"task_id": task_id}))


class Diffs:
    """What each task changed, as one text."""

    def __init__(self, writer: Writer, reader: Reader, redact: Callable[[str], str]) -> None:
        self._writer = writer
        self._reader = reader
        self._redact = redact

    async def put(self, run: Run, text: str) -> None:
        """Keep the diff of the task, in place of an earlier one. Fenced."""
        row = {"task_id": run.task_id, "text": self._redact(text)}

        def put(connection: Connection) -> None:
            require_run(connection, run)
            upsert(connection, diffs, row, {"text": row["text"]})

        await self._writer.write(put)

    async def get(self, task_id: TaskId) -> str | None:
        """Give the diff, None when there is none yet."""
        row = await self._reader.first(_DIFF, {"task_id": task_id})
        return None if row is None else row[0]
