"""How a checked request becomes a queued task, whichever door it came in by."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from codebot.domain.naming import branch_name
from codebot.domain.ports import Queue
from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.status import TaskStatus
from codebot.domain.task import NewTask, TaskId, TaskRequest
from codebot.errors import Conflict
from codebot.telemetry.token_shapes import mask_tokens

DRAWS = 5
"""How many ids are drawn for one task. Branch names hold 28 random bits of the id: even with
100,000 tasks of one title in one repository, a second clash in a row is one in ten million."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A task as it was drawn, and the id under which its request is stored: its own, or an earlier.

    The ids differ where the request was sent before, under the same key.
    """

    task: NewTask
    stored_as: TaskId

    @property
    def answer(self) -> Answered:
        """What the caller is told."""
        is_replay = self.stored_as != self.task.id
        return Answered(self.stored_as, TaskStatus.PENDING, is_replay)


async def submit_task(
    queue: Queue,
    request: TaskRequest,
    *,
    key_fingerprint: str,
    now: Callable[[], datetime],
    new_id: Callable[[], str],
    key: RequestKey | None = None,
) -> Submitted:
    """Queue the task, unless `key` has one already; on disk when this returns.

    Raises `QueueFull`, `StoreUnavailable`, `KeyReused`, and `Conflict` if every drawn branch is
    taken.
    """
    for _ in range(DRAWS - 1):
        new = _draw(request, key_fingerprint, now(), TaskId(new_id()))
        try:
            return Submitted(new, await queue.submit(new, key))
        except Conflict:
            continue
    new = _draw(request, key_fingerprint, now(), TaskId(new_id()))
    return Submitted(new, await queue.submit(new, key))


def _draw(
    request: TaskRequest, key_fingerprint: str, submitted_at: datetime, task_id: TaskId
) -> NewTask:
    """Give the task as it is with that id; a token in its words is none in its branch."""
    ticket = request.ticket_id or ""
    branch = branch_name(
        ticket if mask_tokens(ticket) == ticket else None,
        mask_tokens(request.ticket_summary or ""),
        mask_tokens(request.description),
        task_id,
    )
    return NewTask(task_id, request, branch, key_fingerprint, submitted_at)
