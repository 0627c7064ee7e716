"""The record of the pull requests we opened: it outlives the task, until merged or closed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select

from codebot.domain.outcome import PullRequest
from codebot.domain.task import TaskId
from codebot.store.database import Reader, Row, Writer
from codebot.store.dialect import number_in_turn, upsert
from codebot.store.query import Query
from codebot.store.rows import time_text
from codebot.store.schema import pull_requests


@dataclass(frozen=True, slots=True)
class PullRequestRecord:
    """One pull request of ours, from `head` into `base`; `etag` is of the forge's last answer."""

    task_id: TaskId
    repository_url: str
    pull_request: PullRequest
    head: str
    base: str
    title: str
    body: str
    opened_at: datetime
    etag: str | None = None


_NEWEST = select(pull_requests).order_by(pull_requests.c.number.desc()).limit(1)
_OF_HEAD = _NEWEST.where(
    pull_requests.c.repository_url == bindparam("url"),
    pull_requests.c.head == bindparam("head"),
)
_BY_HEAD = Query(_OF_HEAD)
_BY_TASK = Query(_NEWEST.where(pull_requests.c.task_id == bindparam("task_id")))
_LAST_NUMBER = select(func.max(pull_requests.c.number)).where(
    pull_requests.c.repository_url == bindparam("url")
)


class PullRequests:
    """Every pull request we opened and whose end we have not seen."""

    def __init__(self, writer: Writer, reader: Reader, storable: Callable[[str], str]) -> None:
        self._writer = writer
        self._reader = reader
        self._storable = storable

    async def add(self, record: PullRequestRecord) -> None:
        """Keep the record, in place of an earlier one of that repository and number."""
        row = self._row(record)
        await self._writer.write(lambda connection: upsert(connection, pull_requests, row, row))

    async def open(self, record: PullRequestRecord) -> PullRequestRecord:
        """Keep the record of a local repository under its next number, and give it with that.

        Of a branch that has one already, that one is given. Of many who open at once, in whatever
        process, no two draw the same number.
        """
        row = self._row(record)
        asked = {"url": record.repository_url, "head": record.head}

        def open_(connection: Connection) -> PullRequestRecord:
            number_in_turn(connection)
            there = connection.execute(_OF_HEAD, asked).one_or_none()
            if there is not None:
                return _to_record(tuple(there))
            last = connection.execute(_LAST_NUMBER, asked).scalar()
            numbered = replace(record.pull_request, number=(last or 0) + 1)
            connection.execute(insert(pull_requests), row | {"number": numbered.number})
            return replace(record, pull_request=numbered)

        return await self._writer.write(open_)

    async def find(self, repository_url: str, head: str) -> PullRequestRecord | None:
        """Give the newest pull request of a branch, or None."""
        row = await self._reader.first(_BY_HEAD, {"url": repository_url, "head": head})
        return None if row is None else _to_record(row)

    async def get(self, task_id: TaskId) -> PullRequestRecord | None:
        """Give the newest pull request that a task opened, or None."""
        row = await self._reader.first(_BY_TASK, {"task_id": task_id})
        return None if row is None else _to_record(row)

    def _row(self, record: PullRequestRecord) -> dict[str, object]:
        told = {"title": self._storable(record.title), "body": self._storable(record.body)}
        return _to_row(record) | told


def _to_row(record: PullRequestRecord) -> dict[str, object]:
    """Give the columns of a record."""
    return {
        "task_id": record.task_id,
        "repository_url": record.repository_url,
        "number": record.pull_request.number,
        "url": record.pull_request.url,
        "state": record.pull_request.state,
        "draft": record.pull_request.draft,
        "head": record.head,
        "base": record.base,
        "title": record.title,
        "body": record.body,
        "opened_at": time_text(record.opened_at),
        "etag": record.etag,
    }


def _to_record(row: Row) -> PullRequestRecord:
    """Give the record of a whole row."""
    repository_url, number, task_id, url, head, base, title, body, state, draft, etag, opened = row
    pull_request = PullRequest(number, url, state, bool(draft))
    opened_at = datetime.fromisoformat(opened)
    return PullRequestRecord(
        TaskId(task_id), repository_url, pull_request, head, base, title, body, opened_at, etag
    )
