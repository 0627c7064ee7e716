"""What the service changes in the outside world: written down before and after, never blindly.

No call to a forge happens exactly once by itself: the line can be cut after the forge did the work
and before we heard of it. So the intent is on disk before anything is sent, and what came of it
after. Who finds an intent without an end looks whether it happened before anything is sent again.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, bindparam, select

from codebot.domain.effect import Effect, EffectKind, Permit, issue_permit
from codebot.domain.run import Run, RunId
from codebot.domain.task import TaskId
from codebot.store.codec import codec_of
from codebot.store.database import Reader, Writer
from codebot.store.dialect import upsert
from codebot.store.events import EventRecord
from codebot.store.fence import require_run
from codebot.store.query import Query
from codebot.store.rows import time_text
from codebot.store.schema import effects
from codebot.store.steps import Noted, change_task

T = TypeVar("T")

_OF_TASK = select(effects.c.name, effects.c.run_id, effects.c.result).where(
    effects.c.task_id == bindparam("task_id"), effects.c.kind == bindparam("kind")
)
_FIND = Query(_OF_TASK.where(effects.c.name == bindparam("name")))
_ALL = Query(_OF_TASK.order_by(effects.c.begun_at))


class Effects:
    """Every effect of every task; writes are fenced and raise `RunLost`."""

    def __init__(
        self, writer: Writer, reader: Reader, record: EventRecord, now: Callable[[], datetime]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._record = record
        self._now = now

    def of(self, run: Run) -> "RunEffects":
        """Give what one run does with the outside world."""
        return RunEffects(self, run)

    async def find(self, task_id: TaskId, effect: Effect) -> tuple[RunId, str | None] | None:
        """Say which run began an effect last, and what came of it (JSON); None if none has."""
        parameters = {"task_id": task_id, "kind": effect.kind.value, "name": effect.name}
        row = await self._reader.first(_FIND, parameters)
        return None if row is None else (RunId(row[1]), row[2])

    async def names(self, task_id: TaskId, kind: EffectKind) -> list[str]:
        """Name the effects of a kind that were begun for a task, ended or not, oldest first."""
        parameters = {"task_id": task_id, "kind": kind.value}
        return [name for name, _, _ in await self._reader.all(_ALL, parameters)]

    async def begin(self, run: Run, effect: Effect) -> Permit:
        """Write down that an effect is about to be made; what came of it before is forgotten."""

        def begin(connection: Connection) -> None:
            require_run(connection, run)
            begun = {"run_id": run.id, "begun_at": time_text(self._now())}
            self._put(connection, run, effect, begun | {"ended_at": None, "result": None})

        await self._writer.write(begin)
        return issue_permit(effect)

    async def end(self, run: Run, effect: Effect, result: str, noted: Noted) -> None:
        """Write down what came of an effect, what that changes on the task, and what to tell."""

        def end(connection: Connection) -> None:
            require_run(connection, run)
            now = time_text(self._now())
            ended = {"run_id": run.id, "begun_at": now, "ended_at": now, "result": result}
            self._put(connection, run, effect, ended)
            change_task(connection, run, noted.changes)
            self._record.of_run(connection, run, noted.events)

        await self._writer.write(end)

    def _put(
        self, connection: Connection, run: Run, effect: Effect, values: Mapping[str, str | None]
    ) -> None:
        row = {"task_id": run.task_id, "kind": effect.kind.value, "name": effect.name}
        upsert(connection, effects, {**row, **values}, values)


class RunEffects:
    """Makes each effect of one run once, as far as the world can see."""

    def __init__(self, effects: Effects, run: Run) -> None:
        """Keep the record in `effects`."""
        self._effects = effects
        self._run = run

    async def once(
        self,
        effect: Effect,
        kind: type[T],
        *,
        look: Callable[[], Awaitable[T | None]],
        make: Callable[[Permit], Awaitable[T]],
        note: Callable[[T], Noted] = lambda _: Noted(),
    ) -> T:
        """Give what came of the effect: from the record, else from the world, else by making it.

        `look` gives it where it is there already, and is asked whenever it was begun before: by
        this run, which died, or by an earlier one, since which things may have changed.
        """
        codec = codec_of(kind)
        before = await self._effects.find(self._run.task_id, effect)
        if before is not None and before[0] == self._run.id and before[1] is not None:
            return codec.validate_json(before[1])
        permit = await self._effects.begin(self._run, effect)
        value = None if before is None else await look()
        if value is None:
            value = await make(permit)
        await self._effects.end(self._run, effect, codec.dump_json(value).decode(), note(value))
        return value

    async def names(self, kind: EffectKind) -> list[str]:
        """Name the effects of a kind that were begun for this task, oldest first."""
        return await self._effects.names(self._run.task_id, kind)
