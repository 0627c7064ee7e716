"""What every queue does with a task that comes in, and with a worker that comes for a run."""

import asyncio
from datetime import datetime, timedelta

from codebot.domain.run import QueueName, Run, RunId, RunKind
from codebot.domain.status import RunStatus
from codebot.domain.task import NewTask
from codebot.errors import QueueFull
from codebot.store.store import Store

WAIT_WHEN_FULL = timedelta(seconds=10)
"""What a caller who finds the queue full is told to wait: well below what a task takes, so that a
freed place does not stay empty."""


def first_run(new: NewTask, run_id: str) -> Run:
    """Give the run that a new task starts with; its key is its own, so nothing holds it up."""
    return Run(
        id=RunId(run_id),
        task_id=new.id,
        kind=RunKind.PROMPT,
        status=RunStatus.PENDING,
        key=new.id,
        created_at=new.submitted_at,
    )


def queue_full(waiting: int) -> QueueFull:
    """Give the error for a task that finds so many waiting."""
    return QueueFull(
        f"{waiting} tasks are waiting, as many as the service accepts.",
        hint="Try again later, or raise CODEBOT_MAX_QUEUE_SIZE.",
        retry_after=WAIT_WHEN_FULL,
    )


async def claim_due(store: Store, queue: QueueName, now: datetime) -> Run | None:
    """Claim what is due, None if nothing is. A worker that stops meanwhile puts it back."""
    claiming = asyncio.ensure_future(store.runs.claim(queue, now))
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        await asyncio.wait([claiming])
        if claiming.exception() is None and (claimed := claiming.result()) is not None:
            await store.runs.interrupt(claimed)
        raise
