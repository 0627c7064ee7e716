import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from codebot.domain.conclusion import cancelled
from codebot.domain.event import EventType
from codebot.domain.run import QueueName, Run, RunId, RunResult
from codebot.domain.status import Outcome, RunStatus, TaskStatus
from codebot.domain.task import Task, TaskId
from codebot.errors import (
    AgentTimedOut,
    BudgetExhausted,
    CloneFailed,
    CodebotError,
    ForgeBroken,
    NothingChanged,
    RunLost,
    StoreUnavailable,
    TestsFailed,
    VerifyTimedOut,
)
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.policy import FIRST_DELAY, MAX_ATTEMPTS
from codebot.queue.worker import Worker
from codebot.store.store import Store, new_uuid7
from fakes.at_once import at_once
from fakes.clock import START, Clock, until
from fakes.tasks import COMPLETED, new_task

Work = Callable[[Run], Awaitable[RunResult]]
AT_ONCE = timedelta(0)
SHORT = timedelta(seconds=0.01)
PATIENT = timedelta(seconds=10)


class Shop:
    """A store, its queue and the workers on it; `work` is what they do with a run."""

    def __init__(self, store: Store, clock: Clock, path: Path) -> None:
        self.store = store
        self.clock = clock
        self.path = path
        self.queue = EmbeddedQueue(store, max_pending=100, now=clock, new_id=new_uuid7)
        self._workers: list[Worker] = []

    def open(self, work: Work, *, count: int = 1, pause: timedelta = SHORT) -> Worker:
        worker = Worker(self.queue, QueueName.TASKS, work, count, self.clock, pause=pause)
        worker.start()
        self._workers.append(worker)
        return worker

    async def submit(self) -> TaskId:
        new = new_task()
        await self.queue.submit(new)
        return new.id

    async def close(self) -> None:
        for worker in self._workers:
            await worker.drain(AT_ONCE)
        await self.store.close()

    def task(self, task_id: TaskId) -> Task:
        task = at_once(self.store.tasks.get(task_id))
        assert task is not None
        return task

    def run(self, task_id: TaskId) -> Run:
        (run,) = at_once(self.store.runs.of_task(task_id))
        return run

    async def ended(self, task_id: TaskId) -> Task:
        await until(lambda: self.task(task_id).completed_at is not None)
        return self.task(task_id)

    async def waits(self, task_id: TaskId) -> Run:
        await until(lambda: _waits_again(self.run(task_id)))
        return self.run(task_id)


def _waits_again(run: Run) -> bool:
    return run.attempt > 0 and run.status in {RunStatus.PENDING, RunStatus.INTERRUPTED}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    path, clock = tmp_path / "data" / "codebot.sqlite3", Clock()
    store = await Store.open(path, now=clock, busy_timeout=timedelta(seconds=0.02))
    shop = Shop(store, clock, path)
    yield shop
    await shop.close()


async def succeed(run: Run) -> RunResult:
    return COMPLETED


def raising(error: BaseException) -> Work:
    async def work(run: Run) -> RunResult:
        raise error

    return work


async def test_what_a_run_gives_ends_its_task(shop: Shop) -> None:
    shop.open(succeed)

    task = await shop.ended(await shop.submit())

    assert (task.status, task.outcome) == (TaskStatus.COMPLETED, Outcome.PULL_REQUEST)


async def test_as_many_runs_are_at_work_as_there_are_workers(shop: Shop) -> None:
    at_work, enough = set[RunId](), asyncio.Event()

    async def work(run: Run) -> RunResult:
        at_work.add(run.id)
        await enough.wait()
        return COMPLETED

    worker = shop.open(work, count=3)
    tasks = [await shop.submit() for _ in range(5)]
    await until(lambda: len(at_work) == 3)

    assert worker.running == 3
    assert await shop.queue.size(QueueName.TASKS) == 2
    enough.set()
    for task_id in tasks:
        await shop.ended(task_id)


async def test_a_run_knows_its_ids_wherever_it_logs(shop: Shop) -> None:
    bound: list[dict[str, object]] = []

    async def work(run: Run) -> RunResult:
        bound.append(structlog.contextvars.get_contextvars())
        return COMPLETED

    shop.open(work)
    task_id = await shop.submit()
    await shop.ended(task_id)

    assert bound == [{"task_id": task_id, "run_id": shop.run(task_id).id}]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NothingChanged("Nothing."), Outcome.NO_CHANGES),
        (TestsFailed("Red."), Outcome.TESTS_FAILED),
        (VerifyTimedOut("Slow."), Outcome.TESTS_FAILED),
        (BudgetExhausted("Dear."), Outcome.BUDGET_EXHAUSTED),
        (AgentTimedOut("Silent."), Outcome.TIMED_OUT),
        (CloneFailed("Gone."), Outcome.ERROR),
    ],
)
async def test_an_error_that_we_understand_fails_the_task_in_its_own_words(
    shop: Shop, error: CodebotError, outcome: Outcome
) -> None:
    shop.open(raising(error))

    task = await shop.ended(await shop.submit())

    assert (task.status, task.outcome) == (TaskStatus.FAILED, outcome)
    assert task.failure is not None
    assert (task.failure.code, task.failure.detail) == (error.code, error.detail)
    assert not task.failure.retryable


async def test_a_bug_fails_its_task_without_the_python_message_and_stops_nobody(
    shop: Shop,
) -> None:
    works = iter([raising(KeyError("the secret of life")), succeed])

    async def work(run: Run) -> RunResult:
        return await next(works)(run)

    shop.open(work)
    with structlog.testing.capture_logs() as logs:
        broken = await shop.ended(await shop.submit())
        fine = await shop.ended(await shop.submit())

    assert broken.failure is not None
    assert broken.failure.code == "internal"
    assert "secret" not in broken.failure.detail + broken.failure.hint
    assert [type(log["exc_info"]) for log in logs if log["event"] == "run.broke"] == [KeyError]
    assert fine.status is TaskStatus.COMPLETED


async def test_a_bug_in_the_midst_of_a_cancel_keeps_nothing_from_being_put_away(
    shop: Shop,
) -> None:
    begun = asyncio.Event()

    async def break_when_cancelled(run: Run) -> RunResult:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            raise KeyError("the secret of life") from error
        raise AssertionError

    async def put_away(run: Run) -> RunResult:
        return cancelled("somebody", "")

    works = iter([break_when_cancelled, put_away])

    async def work(run: Run) -> RunResult:
        return await next(works)(run)

    shop.open(work)
    task_id = await shop.submit()
    await begun.wait()
    with structlog.testing.capture_logs() as logs:
        await shop.queue.cancel(task_id, "somebody")
        task = await shop.ended(task_id)

    assert task.status is TaskStatus.CANCELLED
    assert [type(log["exc_info"]) for log in logs if log["event"] == "run.broke"] == [bool]


async def test_something_inside_a_run_that_gives_up_stops_nobody(shop: Shop) -> None:
    works = iter([raising(asyncio.CancelledError()), succeed])

    async def work(run: Run) -> RunResult:
        return await next(works)(run)

    shop.open(work)

    assert (await shop.ended(await shop.submit())).status is TaskStatus.FAILED
    assert (await shop.ended(await shop.submit())).status is TaskStatus.COMPLETED


@pytest.mark.parametrize("asked", [timedelta(seconds=1), timedelta(hours=1)])
async def test_an_error_worth_a_retry_puts_the_run_back_for_as_long_as_it_asks(
    shop: Shop, asked: timedelta
) -> None:
    shop.open(raising(ForgeBroken("The forge is down.", retry_after=asked)))

    run = await shop.waits(await shop.submit())

    assert run.not_before == START + max(asked, FIRST_DELAY)
    assert run.failures == 1


async def test_a_run_that_keeps_failing_is_given_up_with_its_error(shop: Shop) -> None:
    shop.open(raising(ForgeBroken("The forge is down.", retry_after=timedelta(seconds=1))))
    task_id = await shop.submit()

    for failures in range(1, MAX_ATTEMPTS):
        await until(lambda failures=failures: shop.run(task_id).failures == failures)
        shop.clock.pass_by(timedelta(hours=1))
        shop.queue._wake_all()
    task = await shop.ended(task_id)

    assert task.failure is not None
    assert (task.failure.code, task.failure.retryable) == ("forge_broken", True)
    assert shop.run(task_id).attempt == MAX_ATTEMPTS


async def test_a_worker_that_lost_its_run_writes_nothing_and_goes_on(shop: Shop) -> None:
    works = iter([raising(RunLost("Somebody else has it.")), succeed])

    async def work(run: Run) -> RunResult:
        return await next(works)(run)

    shop.open(work)
    lost, next_one = await shop.submit(), await shop.submit()
    await shop.ended(next_one)

    events = [event.type for event in await shop.store.events.after(lost, 0, 100)]
    assert events == [EventType.TASK_SUBMITTED, EventType.RUN_STARTED]


async def test_a_drain_takes_no_more_runs_and_lets_those_at_work_end(shop: Shop) -> None:
    started, enough = asyncio.Event(), asyncio.Event()

    async def work(run: Run) -> RunResult:
        started.set()
        await enough.wait()
        return COMPLETED

    worker = shop.open(work)
    at_work, waiting = await shop.submit(), await shop.submit()
    await started.wait()

    draining = asyncio.create_task(worker.drain(PATIENT))
    await asyncio.sleep(0)
    enough.set()
    await draining

    assert shop.task(at_work).status is TaskStatus.COMPLETED
    assert shop.task(waiting).status is TaskStatus.PENDING
    assert await shop.queue.size(QueueName.TASKS) == 1


async def test_a_drain_whose_time_is_over_puts_runs_back_resumably(shop: Shop) -> None:
    started = asyncio.Event()

    async def work(run: Run) -> RunResult:
        started.set()
        await asyncio.Event().wait()
        return COMPLETED

    worker = shop.open(work)
    task_id = await shop.submit()
    await started.wait()

    await worker.drain(timedelta(seconds=0.02))

    run = shop.run(task_id)
    assert run.status is RunStatus.INTERRUPTED
    assert (run.failures, run.crashes) == (0, 0)
    shop.open(succeed)
    assert (await shop.ended(task_id)).status is TaskStatus.COMPLETED


async def test_idle_workers_stop_at_once(shop: Shop) -> None:
    worker = shop.open(succeed, count=4)
    await asyncio.sleep(0)

    async with asyncio.timeout(1):
        await worker.drain(PATIENT)


async def test_an_end_that_cannot_be_written_is_written_later_and_not_in_a_frenzy(
    shop: Shop,
) -> None:
    blocker = sqlite3.connect(shop.path, isolation_level=None)

    async def work(run: Run) -> RunResult:
        blocker.execute("BEGIN EXCLUSIVE")
        return COMPLETED

    shop.open(work, pause=timedelta(seconds=0.1))
    task_id = await shop.submit()
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(10):
            while not any(log["event"] == "store.unavailable" for log in logs):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.25)
    assert sum(log["event"] == "store.unavailable" for log in logs) <= 3
    assert shop.task(task_id).status is TaskStatus.RUNNING

    blocker.close()

    assert (await shop.ended(task_id)).status is TaskStatus.COMPLETED


async def test_a_run_waits_for_a_store_that_is_locked_in_the_middle_of_it(shop: Shop) -> None:
    async def work(run: Run) -> RunResult:
        blocker = sqlite3.connect(shop.path, isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        asyncio.get_running_loop().call_later(0.3, blocker.close)
        await shop.store.logs.append(run, "a line")
        return COMPLETED

    shop.open(work)
    task_id = await shop.submit()

    assert (await shop.ended(task_id)).status is TaskStatus.COMPLETED
    assert shop.run(task_id).failures == 0


async def test_a_store_that_fails_for_longer_than_a_run_waits_puts_the_run_back(
    shop: Shop,
) -> None:
    shop.open(raising(StoreUnavailable("It is locked.", retry_after=timedelta(seconds=10))))

    assert (await shop.waits(await shop.submit())).failures == 1


async def test_idle_workers_ask_the_store_for_nothing(shop: Shop) -> None:
    asked = 0
    transact = shop.store._writer._transact

    def counting(batch: list[object]) -> list[object]:
        nonlocal asked
        asked += 1
        return transact(batch)

    shop.store._writer._transact = counting
    shop.open(succeed, count=4)
    await asyncio.sleep(0.2)

    assert asked == 0
