import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from codebot.domain.conclusion import cancelled as cancelled_result
from codebot.domain.event import EventType
from codebot.domain.outcome import Failure
from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.run import QueueName, Run, RunKind, RunResult
from codebot.domain.status import Outcome, Phase, RunStatus, TaskStatus
from codebot.domain.task import NewTask, Task, TaskId
from codebot.errors import Conflict, KeyReused, NotFound, QueueFull, RunLost
from fakes.clock import START
from fakes.stored import counts
from fakes.tasks import COMPLETED, new_task, review_of

from .conftest import MAX_PENDING, Backend

SOON = 5.0
AT_ONCE = 0.05


async def claim(backend: Backend, queue: QueueName = QueueName.TASKS) -> Run:
    return await asyncio.wait_for(backend.queue.claim(queue), SOON)


async def nothing_is_due(backend: Backend, queue: QueueName = QueueName.TASKS) -> bool:
    try:
        run = await asyncio.wait_for(backend.queue.claim(queue), AT_ONCE)
    except TimeoutError:
        return True
    await backend.queue.interrupt(run)
    return False


async def submit(backend: Backend, description: str = "Add dark mode") -> NewTask:
    new = new_task(description)
    await backend.queue.submit(new)
    return new


async def stored(backend: Backend, new: NewTask) -> Task:
    task = await backend.store.tasks.get(new.id)
    assert task is not None
    return task


async def told(backend: Backend, new: NewTask) -> list[EventType]:
    return [event.type for event in await backend.store.events.after(new.id, 0, 100)]


async def test_a_submitted_task_is_stored_with_its_run_and_its_first_event(
    backend: Backend,
) -> None:
    new = await submit(backend)

    task = await stored(backend, new)
    assert (task.status, task.request, task.branch_name) == (
        TaskStatus.PENDING,
        new.request,
        new.branch_name,
    )
    assert task.submitted_at == START
    assert task.key_fingerprint == new.key_fingerprint
    assert [run.status for run in await backend.store.runs.of_task(new.id)] == [RunStatus.PENDING]
    assert await told(backend, new) == [EventType.TASK_SUBMITTED]


async def test_runs_are_claimed_in_the_order_they_came_even_if_the_clock_is_set_back(
    backend: Backend,
) -> None:
    tasks = []
    for _ in range(4):
        tasks.append(await submit(backend))
        backend.clock.pass_by(timedelta(hours=-1))

    assert [(await claim(backend)).task_id for _ in tasks] == [task.id for task in tasks]


async def test_a_claim_waits_for_work_and_a_submit_wakes_it(backend: Backend) -> None:
    waiting = asyncio.create_task(claim(backend))
    await asyncio.sleep(0)

    new = await submit(backend)

    assert (await waiting).task_id == new.id


async def test_every_run_is_handed_to_one_worker_only(backend: Backend) -> None:
    workers = [asyncio.create_task(claim(backend)) for _ in range(MAX_PENDING)]
    tasks = [await submit(backend) for _ in range(MAX_PENDING)]

    claimed = {(await worker).task_id for worker in workers}

    assert claimed == {task.id for task in tasks}
    assert await backend.queue.size(QueueName.TASKS) == 0


async def test_a_claimed_run_shows_its_task_as_running(backend: Backend) -> None:
    new = await submit(backend)
    backend.clock.pass_by(timedelta(seconds=7))

    run = await claim(backend)

    task = await stored(backend, new)
    assert (run.status, run.attempt) == (RunStatus.RUNNING, 1)
    assert (task.status, task.phase) == (TaskStatus.RUNNING, Phase.PREPARING)
    assert task.started_at == START + timedelta(seconds=7)
    assert (await told(backend, new))[-1] is EventType.RUN_STARTED


async def test_a_finished_run_ends_its_task(backend: Backend) -> None:
    new = await submit(backend)
    run = await claim(backend)
    backend.clock.pass_by(timedelta(minutes=5))

    await backend.queue.finish(run, COMPLETED)

    task = await stored(backend, new)
    assert (task.status, task.outcome, task.phase) == (
        TaskStatus.COMPLETED,
        Outcome.PULL_REQUEST,
        None,
    )
    assert task.completed_at == START + timedelta(minutes=5)
    assert (await told(backend, new))[-2:] == [EventType.RUN_FINISHED, EventType.TASK_FINISHED]
    assert await nothing_is_due(backend)


async def test_a_failed_run_says_why_its_task_failed(backend: Backend) -> None:
    new = await submit(backend)
    failure = Failure("clone_failed", "The repository is gone.", "Look there.", retryable=False)

    await backend.queue.finish(
        await claim(backend), RunResult(TaskStatus.FAILED, Outcome.ERROR, failure)
    )

    assert (await stored(backend, new)).failure == failure
    assert (await stored(backend, new)).status is TaskStatus.FAILED


async def test_a_postponed_run_waits_for_its_time_and_counts_a_failure(backend: Backend) -> None:
    new = await submit(backend)
    later = START + timedelta(minutes=10)

    await backend.queue.postpone(await claim(backend), later, "The forge is down.")

    assert (await stored(backend, new)).phase is Phase.WAITING
    assert (await told(backend, new))[-1] is EventType.RUN_POSTPONED
    assert await nothing_is_due(backend)
    backend.clock.pass_by(timedelta(minutes=10))
    again = await claim(backend)
    assert (again.attempt, again.failures, again.crashes) == (2, 1, 0)


async def test_a_waiting_worker_wakes_up_when_a_postponed_run_is_due(backend: Backend) -> None:
    await submit(backend)
    run = await claim(backend)
    waiting = asyncio.create_task(claim(backend))

    await backend.queue.postpone(run, START + timedelta(seconds=0.05), "A moment.")
    await asyncio.sleep(0)
    backend.clock.pass_by(timedelta(seconds=0.05))

    assert (await waiting).id == run.id


async def test_a_postponed_run_does_not_hold_up_the_others(backend: Backend) -> None:
    await submit(backend)
    await backend.queue.postpone(await claim(backend), START + timedelta(hours=1), "Later.")

    second = await submit(backend)

    assert (await claim(backend)).task_id == second.id


async def test_an_interrupted_run_goes_on_first_and_counts_nothing(backend: Backend) -> None:
    first = await submit(backend)
    await submit(backend)

    await backend.queue.interrupt(await claim(backend))

    again = await claim(backend)
    assert (again.task_id, again.attempt, again.failures, again.crashes) == (first.id, 2, 0, 0)
    assert EventType.RUN_INTERRUPTED in await told(backend, first)


async def test_a_task_starts_once_however_often_its_run_does(backend: Backend) -> None:
    new = await submit(backend)
    await backend.queue.interrupt(await claim(backend))
    backend.clock.pass_by(timedelta(hours=1))

    await claim(backend)

    assert (await stored(backend, new)).started_at == START


async def test_a_lost_run_writes_nothing(backend: Backend) -> None:
    new = await submit(backend)
    lost = await claim(backend)
    await backend.queue.interrupt(lost)
    await claim(backend)
    before = await told(backend, new)

    for write in (
        backend.queue.finish(lost, COMPLETED),
        backend.queue.postpone(lost, START, "Too late."),
        backend.queue.interrupt(lost),
    ):
        with pytest.raises(RunLost):
            await write

    assert (await stored(backend, new)).status is TaskStatus.RUNNING
    assert await told(backend, new) == before
    assert await backend.queue.size(QueueName.TASKS) == 0


async def test_a_run_cannot_be_finished_twice(backend: Backend) -> None:
    await submit(backend)
    run = await claim(backend)
    await backend.queue.finish(run, COMPLETED)

    with pytest.raises(RunLost):
        await backend.queue.finish(run, COMPLETED)


async def test_one_key_runs_once_at_a_time_and_its_end_wakes_the_next(backend: Backend) -> None:
    new = await submit(backend)
    for _ in range(2):
        await backend.enqueue(review_of(new, "user/repo#1"))
    first = await claim(backend, QueueName.REVIEWS)
    assert await nothing_is_due(backend, QueueName.REVIEWS)
    waiting = asyncio.create_task(claim(backend, QueueName.REVIEWS))
    await asyncio.wait([waiting], timeout=AT_ONCE)  # it has looked, and sleeps

    await backend.queue.finish(first, COMPLETED)

    assert (await waiting).id != first.id


async def test_the_order_within_a_key_holds_when_its_first_run_is_postponed(
    backend: Backend,
) -> None:
    new = await submit(backend)
    for _ in range(2):
        await backend.enqueue(review_of(new, "user/repo#1"))
    first = await claim(backend, QueueName.REVIEWS)

    await backend.queue.postpone(first, START + timedelta(hours=1), "Later.")

    assert await nothing_is_due(backend, QueueName.REVIEWS)
    backend.clock.pass_by(timedelta(hours=1))
    assert (await claim(backend, QueueName.REVIEWS)).id == first.id


async def test_different_keys_run_side_by_side(backend: Backend) -> None:
    new = await submit(backend)
    for number in range(2):
        await backend.enqueue(review_of(new, f"user/repo#{number}"))

    keys = [(await claim(backend, QueueName.REVIEWS)).key for _ in range(2)]

    assert keys == ["user/repo#0", "user/repo#1"]


async def test_a_review_leaves_the_status_of_its_task_alone(backend: Backend) -> None:
    new = await submit(backend)
    await backend.queue.finish(await claim(backend), COMPLETED)
    await backend.enqueue(review_of(new, "user/repo#1"))

    await backend.queue.finish(await claim(backend, QueueName.REVIEWS), COMPLETED)

    assert (await stored(backend, new)).status is TaskStatus.COMPLETED
    assert (await told(backend, new)).count(EventType.TASK_FINISHED) == 1


async def test_the_two_queues_are_counted_and_claimed_apart(backend: Backend) -> None:
    new = await submit(backend)
    await backend.enqueue(review_of(new, "user/repo#1"))
    sizes = {name: await backend.queue.size(name) for name in QueueName}

    await claim(backend, QueueName.REVIEWS)

    assert sizes == {QueueName.TASKS: 1, QueueName.REVIEWS: 1}
    assert await backend.queue.size(QueueName.TASKS) == 1
    assert await backend.queue.size(QueueName.REVIEWS) == 0


async def test_a_full_queue_says_so_and_stores_nothing(backend: Backend) -> None:
    for _ in range(MAX_PENDING):
        await submit(backend)

    with pytest.raises(QueueFull) as refused:
        await submit(backend)

    assert refused.value.retry_after is not None
    assert await counts(backend.store) == {TaskStatus.PENDING: MAX_PENDING}
    await claim(backend)
    await submit(backend)


async def test_racing_submits_never_get_more_places_than_there_are(backend: Backend) -> None:
    outcomes = await asyncio.gather(
        *(submit(backend) for _ in range(MAX_PENDING * 4)), return_exceptions=True
    )

    assert sum(isinstance(outcome, QueueFull) for outcome in outcomes) == MAX_PENDING * 3
    assert await counts(backend.store) == {TaskStatus.PENDING: MAX_PENDING}


async def test_a_branch_belongs_to_one_task_and_a_clash_takes_no_place(backend: Backend) -> None:
    first, neighbour = new_task(), new_task()
    clash = new_task(branch=first.branch_name)

    outcomes = await asyncio.gather(
        *(backend.queue.submit(new) for new in (first, clash, neighbour)), return_exceptions=True
    )

    assert [outcomes[0], type(outcomes[1]), outcomes[2]] == [first.id, Conflict, neighbour.id]
    assert await backend.store.tasks.get(clash.id) is None
    assert await backend.queue.size(QueueName.TASKS) == 2


async def test_a_worker_that_stops_waiting_takes_no_run_with_it(backend: Backend) -> None:
    for _ in range(3):
        waiting = asyncio.create_task(backend.queue.claim(QueueName.TASKS))
        await submit(backend)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await backend.queue.interrupt(await waiting)

    claimed = {(await claim(backend)).task_id for _ in range(3)}

    assert len(claimed) == 3


async def test_a_caller_who_hangs_up_leaves_the_count_right(backend: Backend) -> None:
    new = new_task()
    submitting = asyncio.create_task(backend.queue.submit(new))
    await asyncio.sleep(0)

    submitting.cancel()

    assert (await claim(backend)).task_id == new.id
    assert await backend.queue.size(QueueName.TASKS) == 0


async def test_after_a_restart_everything_goes_on_where_it_was(backend: Backend) -> None:
    running, waiting = await submit(backend), await submit(backend)
    await claim(backend)

    async with backend.restarted() as restarted:
        assert await restarted.queue.recover() == 1

        assert await restarted.queue.size(QueueName.TASKS) == 2
        again = await claim(restarted)
        assert (again.task_id, again.attempt, again.crashes) == (running.id, 2, 1)
        assert (await claim(restarted)).task_id == waiting.id


async def test_a_run_that_takes_its_worker_down_three_times_is_poison(backend: Backend) -> None:
    new = await submit(backend)
    for _ in range(3):
        await claim(backend)
        await backend.queue.recover()

    task = await stored(backend, new)
    assert (task.status, task.outcome) == (TaskStatus.FAILED, Outcome.ERROR)
    assert task.failure is not None
    assert task.failure.code == "poisoned"
    assert await nothing_is_due(backend)
    assert await backend.queue.size(QueueName.TASKS) == 0


async def test_a_submitted_task_survives_with_every_character_it_came_with(
    backend: Backend,
) -> None:
    description = "Füge 🦀 hinzu\n\t'\";--\\u0000 {json} %s " + "長い" * 100_000

    new = await submit(backend, description)

    assert (await stored(backend, new)).request.description == description


# --- Requests with a key -----------------------------------------------------------------------


def key(name: str = "key", request: str = "a request") -> RequestKey:
    return RequestKey(name, request)


async def test_a_request_that_is_sent_again_gives_the_task_that_it_made(backend: Backend) -> None:
    first, again = new_task(), new_task()

    stored = [await backend.queue.submit(new, key()) for new in (first, again)]

    assert stored == [first.id, first.id]
    assert await backend.store.tasks.get(again.id) is None
    assert await counts(backend.store) == {TaskStatus.PENDING: 1}
    assert await backend.queue.size(QueueName.TASKS) == 1


async def test_fifty_submits_at_once_with_one_key_are_one_task(backend: Backend) -> None:
    tasks = [new_task() for _ in range(50)]
    await asyncio.gather(*(submit_in_place(backend, new) for new in tasks))

    assert await counts(backend.store) == {TaskStatus.PENDING: 1}
    assert await backend.queue.size(QueueName.TASKS) == 1
    assert len([await backend.queue.claim(QueueName.TASKS)]) == 1


async def submit_in_place(backend: Backend, new: NewTask) -> TaskId:
    """Submit as soon as there is room: a request takes a place while it is on its way."""
    while True:
        try:
            return await backend.queue.submit(new, key())
        except QueueFull:
            await asyncio.sleep(0.001)


async def test_one_batch_takes_in_requests_with_and_without_keys(backend: Backend) -> None:
    one, again, other, plain = (new_task() for _ in range(4))

    stored = await asyncio.gather(
        backend.queue.submit(one, key()),
        backend.queue.submit(plain),
        backend.queue.submit(again, key()),
        backend.queue.submit(other, key("another key")),
    )

    assert set(stored) == {stored[0], plain.id, other.id}
    assert stored[0] == stored[2]
    assert stored[0] in {one.id, again.id}
    assert await backend.queue.size(QueueName.TASKS) == 3


async def test_a_key_of_another_request_is_refused_and_nothing_stored(backend: Backend) -> None:
    await backend.queue.submit(new_task(), key())

    with pytest.raises(KeyReused):
        await backend.queue.submit(new_task(), key(request="another request"))

    assert await backend.queue.size(QueueName.TASKS) == 1


async def test_a_key_whose_task_could_not_be_stored_is_free(backend: Backend) -> None:
    first = await submit(backend)
    with pytest.raises(Conflict):
        await backend.queue.submit(new_task(branch=first.branch_name), key())
    new = new_task()

    assert await backend.queue.submit(new, key()) == new.id


async def test_a_key_is_kept_as_long_as_its_task(backend: Backend) -> None:
    first = new_task()
    await backend.queue.submit(first, key())
    async with backend.restarted() as restarted:
        assert await restarted.queue.submit(new_task(), key()) == first.id
        await restarted.store.tasks.delete(first.id)
        new = new_task()
        assert await restarted.queue.submit(new, key()) == new.id


# --- Cancelling --------------------------------------------------------------------------------

BY = "the API key 0123456789abcdef"


async def cancelled(backend: Backend, new: NewTask) -> Task:
    """Give the task, which must have ended as cancelled, once."""
    task = await stored(backend, new)
    assert (task.status, task.outcome, task.phase) == (
        TaskStatus.CANCELLED,
        Outcome.CANCELLED,
        None,
    )
    assert task.failure is not None
    assert task.failure.code == "cancelled"
    assert task.failure.detail == f"The task was cancelled by {BY}."
    assert task.completed_at is not None
    assert task.cancel_wished_by is None
    assert (await told(backend, new)).count(EventType.TASK_FINISHED) == 1
    return task


async def wait_for_cancel(backend: Backend, run: Run) -> str:
    return await asyncio.wait_for(backend.queue.wait_for_cancel(run), SOON)


async def test_a_task_that_waits_ends_at_once(backend: Backend) -> None:
    new, next_one = await submit(backend), await submit(backend)

    answered = await backend.queue.cancel(new.id, BY)

    assert answered == Answered(new.id, TaskStatus.CANCELLED)
    assert (await cancelled(backend, new)).started_at is None
    assert await backend.queue.size(QueueName.TASKS) == 1
    assert (await claim(backend)).task_id == next_one.id


async def test_a_task_that_is_postponed_ends_at_once(backend: Backend) -> None:
    new = await submit(backend)
    await backend.queue.postpone(await claim(backend), START + timedelta(hours=1), "Later.")

    assert (await backend.queue.cancel(new.id, BY)).status is TaskStatus.CANCELLED

    await cancelled(backend, new)
    assert await backend.queue.size(QueueName.TASKS) == 0
    backend.clock.pass_by(timedelta(hours=2))
    assert await nothing_is_due(backend)


async def test_who_works_on_a_task_hears_that_it_is_cancelled(backend: Backend) -> None:
    new = await submit(backend)
    run = await claim(backend)
    waiting = asyncio.create_task(wait_for_cancel(backend, run))
    await asyncio.wait([waiting], timeout=AT_ONCE)

    answered = await backend.queue.cancel(new.id, BY)

    assert answered == Answered(new.id, TaskStatus.RUNNING)
    assert await waiting == BY
    task = await stored(backend, new)
    assert (task.status, task.phase) == (TaskStatus.RUNNING, Phase.CANCELLING)
    assert (await told(backend, new))[-1] is EventType.TASK_CANCEL_REQUESTED
    await backend.queue.finish(run, cancelled_result(BY, "Its work is on a branch."))
    failure = (await cancelled(backend, new)).failure
    assert failure is not None
    assert failure.hint == "Its work is on a branch."


async def test_a_run_that_is_not_cancelled_is_not_told_so(backend: Backend) -> None:
    await submit(backend)
    other = await submit(backend)
    waiting = asyncio.create_task(wait_for_cancel(backend, await claim(backend)))
    await backend.queue.cancel(other.id, BY)
    done, _ = await asyncio.wait([waiting], timeout=AT_ONCE)
    waiting.cancel()
    assert not done


@pytest.mark.parametrize(
    "result",
    [
        COMPLETED,
        RunResult(TaskStatus.FAILED, Outcome.ERROR, Failure("x", "X.", "", retryable=True)),
    ],
    ids=["completed", "failed"],
)
async def test_a_task_that_was_cancelled_first_ends_so_whatever_came_of_it(
    backend: Backend, result: RunResult
) -> None:
    new = await submit(backend)
    run = await claim(backend)
    await backend.queue.cancel(new.id, BY)

    await backend.queue.finish(run, result)

    await cancelled(backend, new)


async def test_a_task_that_was_cancelled_does_not_wait_for_another_attempt(
    backend: Backend,
) -> None:
    new = await submit(backend)
    run = await claim(backend)
    await backend.queue.cancel(new.id, BY)

    await backend.queue.postpone(run, START + timedelta(hours=1), "The forge is down.")

    await cancelled(backend, new)
    assert await backend.queue.size(QueueName.TASKS) == 0


async def test_a_cancel_and_an_end_at_once_leave_one_of_the_two(backend: Backend) -> None:
    for _ in range(5):
        new = await submit(backend)
        run = await claim(backend)

        answer, _ = await asyncio.gather(
            backend.queue.cancel(new.id, BY),
            backend.queue.finish(run, COMPLETED),
            return_exceptions=True,
        )

        if isinstance(answer, Conflict):
            assert (await stored(backend, new)).status is TaskStatus.COMPLETED
        else:
            await cancelled(backend, new)
        assert (await told(backend, new)).count(EventType.TASK_FINISHED) == 1


async def test_a_cancel_and_a_claim_at_once_lose_neither(backend: Backend) -> None:
    for _ in range(5):
        new = await submit(backend)
        claiming = asyncio.create_task(claim(backend))
        answer = await backend.queue.cancel(new.id, BY)
        if answer.status is TaskStatus.CANCELLED:
            assert await backend.queue.size(QueueName.TASKS) == 0
            claiming.cancel()
            await asyncio.wait([claiming])
        else:
            run = await claiming
            assert await wait_for_cancel(backend, run) == BY
            await backend.queue.finish(run, COMPLETED)
        await cancelled(backend, new)


@pytest.mark.parametrize("result", [COMPLETED, None], ids=["completed", "cancelled"])
async def test_what_has_ended_cannot_be_cancelled(
    backend: Backend, result: RunResult | None
) -> None:
    new = await submit(backend)
    if result is None:
        await backend.queue.cancel(new.id, BY)
    else:
        await backend.queue.finish(await claim(backend), result)
    before = await told(backend, new)

    with pytest.raises(Conflict, match="has ended already: it is c"):
        await backend.queue.cancel(new.id, BY)

    assert await told(backend, new) == before


async def test_nobody_cancels_a_task_that_is_not_there(backend: Backend) -> None:
    with pytest.raises(NotFound):
        await backend.queue.cancel(new_task().id, BY)


async def test_a_second_wish_is_the_same_wish(backend: Backend) -> None:
    new = await submit(backend)
    await claim(backend)
    for by in (BY, "the API key of another"):
        assert (await backend.queue.cancel(new.id, by)).status is TaskStatus.RUNNING
    assert (await stored(backend, new)).cancel_wished_by == BY
    assert (await told(backend, new)).count(EventType.TASK_CANCEL_REQUESTED) == 1


async def test_a_wish_is_on_disk_when_it_is_answered(backend: Backend) -> None:
    new = await submit(backend)
    await claim(backend)
    await backend.queue.cancel(new.id, BY)

    async with backend.restarted() as restarted:
        await restarted.queue.recover()
        run = await claim(restarted)
        assert await wait_for_cancel(restarted, run) == BY
        await restarted.queue.finish(run, COMPLETED)
        await cancelled(restarted, new)


async def test_a_cancel_that_is_sent_again_is_answered_as_before(backend: Backend) -> None:
    new = await submit(backend)
    run = await claim(backend)
    first = await backend.queue.cancel(new.id, BY, key())
    await backend.queue.finish(run, COMPLETED)

    again = await backend.queue.cancel(new.id, BY, key())

    assert (again.status, again.is_replay) == (first.status, True)
    with pytest.raises(KeyReused):
        await backend.queue.cancel(new.id, BY, key(request="another"))


async def test_a_review_goes_on_when_its_task_was_cancelled_before(backend: Backend) -> None:
    new = await submit(backend)
    await backend.queue.cancel(new.id, BY)
    await backend.enqueue(review_of(new, "user/repo#1"))
    run = await claim(backend, QueueName.REVIEWS)
    waiting = asyncio.create_task(wait_for_cancel(backend, run))
    done, _ = await asyncio.wait([waiting], timeout=AT_ONCE)
    waiting.cancel()
    assert not done
    with pytest.raises(Conflict):
        await backend.queue.cancel(new.id, BY)


# --- Retrying ----------------------------------------------------------------------------------

FAILED = RunResult(
    TaskStatus.FAILED, Outcome.ERROR, Failure("clone_failed", "Gone.", "", retryable=False)
)


async def failed(backend: Backend) -> NewTask:
    new = await submit(backend)
    await backend.queue.finish(await claim(backend), FAILED)
    return new


async def test_a_task_that_failed_waits_for_a_further_run(backend: Backend) -> None:
    new = await failed(backend)

    answered = await backend.queue.retry(new.id, BY)

    assert answered == Answered(new.id, TaskStatus.PENDING)
    task = await stored(backend, new)
    assert (task.status, task.outcome, task.failure) == (TaskStatus.PENDING, None, None)
    assert (task.started_at, task.completed_at) == (None, None)
    assert await backend.queue.size(QueueName.TASKS) == 1
    assert (await told(backend, new))[-1] is EventType.TASK_RETRIED
    run = await claim(backend)
    assert (run.task_id, run.kind, run.attempt, run.failures) == (new.id, RunKind.RETRY, 1, 0)
    await backend.queue.finish(run, COMPLETED)
    assert (await stored(backend, new)).status is TaskStatus.COMPLETED
    assert len(await backend.store.runs.of_task(new.id)) == 2


async def test_a_retry_wakes_a_worker_that_waits(backend: Backend) -> None:
    new = await failed(backend)
    waiting = asyncio.create_task(claim(backend))
    await asyncio.wait([waiting], timeout=AT_ONCE)

    await backend.queue.retry(new.id, BY)

    assert (await waiting).task_id == new.id


async def test_a_task_that_was_cancelled_can_be_retried_and_cancelled_again(
    backend: Backend,
) -> None:
    new = await submit(backend)
    await backend.queue.cancel(new.id, BY)
    await backend.queue.retry(new.id, BY)
    assert (await backend.queue.cancel(new.id, BY)).status is TaskStatus.CANCELLED
    await backend.queue.retry(new.id, BY)
    run = await claim(backend)
    assert (await stored(backend, new)).cancel_wished_by is None
    await backend.queue.finish(run, COMPLETED)
    assert (await stored(backend, new)).status is TaskStatus.COMPLETED


async def test_only_what_failed_can_be_retried(backend: Backend) -> None:
    new = await submit(backend)
    with pytest.raises(Conflict, match="is pending"):
        await backend.queue.retry(new.id, BY)
    run = await claim(backend)
    with pytest.raises(Conflict, match="is running"):
        await backend.queue.retry(new.id, BY)
    await backend.queue.finish(run, COMPLETED)
    with pytest.raises(Conflict, match="is completed"):
        await backend.queue.retry(new.id, BY)
    with pytest.raises(NotFound):
        await backend.queue.retry(new_task().id, BY)
    assert await backend.queue.size(QueueName.TASKS) == 0
    assert len(await backend.store.runs.of_task(new.id)) == 1


async def test_of_many_retries_at_once_one_is_done(backend: Backend) -> None:
    new = await failed(backend)

    answers = await asyncio.gather(
        *(backend.queue.retry(new.id, BY) for _ in range(MAX_PENDING)), return_exceptions=True
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["Answered", *["Conflict"] * 4]
    assert await backend.queue.size(QueueName.TASKS) == 1


async def test_a_retry_needs_a_place_in_the_queue(backend: Backend) -> None:
    new = await failed(backend)
    for _ in range(MAX_PENDING):
        await submit(backend)

    with pytest.raises(QueueFull):
        await backend.queue.retry(new.id, BY)

    assert (await stored(backend, new)).status is TaskStatus.FAILED
    assert await backend.queue.size(QueueName.TASKS) == MAX_PENDING


async def test_a_retry_that_is_sent_again_is_one_retry(backend: Backend) -> None:
    new = await failed(backend)
    await backend.queue.retry(new.id, BY, key())
    await backend.queue.finish(await claim(backend), FAILED)

    again = await backend.queue.retry(new.id, BY, key())

    assert (again.status, again.is_replay) == (TaskStatus.PENDING, True)
    assert await backend.queue.size(QueueName.TASKS) == 0
    assert (await stored(backend, new)).status is TaskStatus.FAILED


async def test_a_retry_survives_a_restart(backend: Backend) -> None:
    new = await failed(backend)
    await backend.queue.retry(new.id, BY)
    async with backend.restarted() as restarted:
        await restarted.queue.recover()
        assert await restarted.queue.size(QueueName.TASKS) == 1
        assert (await claim(restarted)).task_id == new.id


async def test_what_is_being_deleted_cannot_be_retried_and_what_is_retried_not_deleted(
    backend: Backend,
) -> None:
    going, staying = await failed(backend), await failed(backend)
    assert await backend.store.tasks.begin_removal(going.id)
    await backend.queue.retry(staying.id, BY)

    with pytest.raises(NotFound, match="being deleted"):
        await backend.queue.retry(going.id, BY)

    assert not await backend.store.tasks.begin_removal(staying.id)
    assert await backend.store.tasks.begin_removal(going.id)


async def test_a_task_with_a_review_on_its_way_is_not_deleted(backend: Backend) -> None:
    new = await failed(backend)
    await backend.enqueue(review_of(new, "user/repo#1"))

    assert not await backend.store.tasks.begin_removal(new.id)
