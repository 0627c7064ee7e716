"""Which request each name of a caller's was for, and how it was answered; kept with its task."""

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, select

from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.status import TaskStatus
from codebot.domain.task import TaskId
from codebot.errors import KeyReused
from codebot.store.database import Reader, Row
from codebot.store.dialect import insert_unless_there
from codebot.store.query import Query
from codebot.store.schema import request_keys

_FOUND = select(request_keys.c.request, request_keys.c.task_id, request_keys.c.status).where(
    request_keys.c.id == bindparam("id")
)
_FIND = Query(_FOUND)


class RequestKeys:
    """Every name that a request was sent under. Writing one is part of what it asks for."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, key: RequestKey) -> Answered | None:
        """Give what the request was answered with, None for a new one; raises `KeyReused`."""
        row = await self._reader.first(_FIND, {"id": key.id})
        return None if row is None else _replay(key, row)


def find_key(connection: Connection, key: RequestKey) -> Answered | None:
    """Give what is bound to the key, None for a new one; raises `KeyReused`."""
    row = connection.execute(_FOUND, {"id": key.id}).one_or_none()
    return None if row is None else _replay(key, tuple(row))


def take_key(connection: Connection, key: RequestKey, answered: Answered) -> Answered:
    """Bind the key to its answer, and give that; where it is bound already, the earlier one.

    Whoever else takes it at the same time is waited for. Raises `KeyReused`.
    """
    row = {
        "id": key.id,
        "request": key.request,
        "task_id": answered.task_id,
        "status": answered.status.value,
    }
    if insert_unless_there(connection, request_keys, row):
        return replace(answered, is_replay=False)
    return _replay(key, tuple(connection.execute(_FOUND, {"id": key.id}).one()))


def release_keys(connection: Connection, keys: Collection[RequestKey]) -> None:
    """Let go of keys that this very transaction has bound, to what did not come about."""
    if keys:
        ids = [key.id for key in keys]
        connection.execute(delete(request_keys).where(request_keys.c.id.in_(ids)))


def _replay(key: RequestKey, row: Row) -> Answered:
    request, task_id, status = row
    if request != key.request:
        raise KeyReused("This Idempotency-Key was sent before, with another request.")
    return Answered(TaskId(task_id), TaskStatus(status), is_replay=True)
