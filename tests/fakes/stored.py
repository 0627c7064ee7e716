"""What tests of a store write to it, whichever database it is, and read back."""

from collections import Counter

from codebot.domain.event import EventType
from codebot.domain.outcome import Failure
from codebot.domain.run import QueueName, Run, RunResult
from codebot.domain.status import Outcome, TaskStatus
from codebot.domain.task import Task, TaskId
from codebot.errors import TestsFailed
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store
from fakes.clock import START
from fakes.tasks import new_task


async def running(queue: EmbeddedQueue) -> Run:
    await queue.submit(new_task())
    return await queue.claim(QueueName.TASKS)


async def stored(store: Store, task_id: TaskId) -> Task:
    task = await store.tasks.get(task_id)
    assert task is not None
    return task


async def counts(store: Store) -> dict[TaskStatus, int]:
    """Say how many tasks there are in each status; those with none are left out."""
    return dict(Counter(task.status for task in await store.tasks.recent(None, 100_000)))


def failed(detail: str) -> RunResult:
    failure = Failure("tests_failed", detail, "Look at the tests.", retryable=False)
    return RunResult(TaskStatus.FAILED, Outcome.TESTS_FAILED, failure)


async def tell_a_secret(store: Store, queue: EmbeddedQueue) -> None:
    """Write a secret by every way into the store, and see that what is read back hides it."""
    run = await running(queue)
    secret = "the password is hunter2"
    await store.logs.append(run, secret)
    await store.diffs.put(run, secret)
    await store.events.tell(run, EventType.AGENT_SAID, {"text": [{"deep": secret}], "hunter2": 1})
    await store.steps.fail(run, "work", 1, TestsFailed(secret))
    await queue.postpone(run, START, secret)
    again = await queue.claim(QueueName.TASKS)
    await queue.finish(again, failed(secret))

    assert await store.logs.text(run.task_id) == "the password is ***"
    assert await store.diffs.get(run.task_id) == "the password is ***"
    failure = (await stored(store, run.task_id)).failure
    assert failure is not None
    assert failure.detail == "the password is ***"
