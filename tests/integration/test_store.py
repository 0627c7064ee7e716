import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from codebot.domain.event import EventType
from codebot.domain.outcome import PullRequest, Usage
from codebot.domain.run import QueueName, RunId
from codebot.domain.status import Phase, TaskStatus
from codebot.domain.task import NewTask, TaskId
from codebot.errors import Conflict, RunLost, TestsFailed
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.pull_requests import PullRequestRecord
from codebot.store.schema import metadata
from codebot.store.steps import TaskChanges
from codebot.store.store import Store, new_uuid7
from fakes.clock import START, Clock
from fakes.stored import counts, failed, running, stored, tell_a_secret
from fakes.tasks import COMPLETED, new_task, review_of


def redact(text: str) -> str:
    return text.replace("hunter2", "***")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(database: Path | str, clock: Clock) -> AsyncIterator[Store]:
    store = await Store.open(database, redact=redact, now=clock)
    yield store
    await store.close()


@pytest.fixture
def queue(store: Store, clock: Clock) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=10_000, now=clock, new_id=new_uuid7)


async def rows_of(store: Store) -> dict[str, list[object]]:
    """Give whatever is stored, table by table."""

    def read(connection: Connection) -> dict[str, list[object]]:
        return {
            name: [*connection.execute(select(t).execution_options(of_a_test=True))]
            for name, t in metadata.tables.items()
        }

    return await store._writer.write(read)


# --- Writing ---------------------------------------------------------------------------------


async def test_a_write_that_fails_spoils_nothing_for_its_neighbours(
    store: Store, queue: EmbeddedQueue
) -> None:
    good = [new_task() for _ in range(10)]
    bad = [new_task(branch=good[0].branch_name), new_task("half an emoji: \ud83e")]

    outcomes = await asyncio.gather(
        *(queue.submit(new) for new in [*good, *bad]), return_exceptions=True
    )

    assert outcomes[:10] == [new.id for new in good]
    assert [type(outcome) for outcome in outcomes[10:]] == [Conflict, UnicodeEncodeError]
    assert {task.id for task in await store.tasks.recent(None, 100)} == {new.id for new in good}


# --- Reading ---------------------------------------------------------------------------------


async def test_a_list_goes_page_by_page_from_the_newest(store: Store, queue: EmbeddedQueue) -> None:
    tasks = [await submitted(queue) for _ in range(7)]

    first = await store.tasks.recent(None, 3)
    second = await store.tasks.recent(None, 3, before=first[-1].id)
    third = await store.tasks.recent(None, 3, before=second[-1].id)

    listed = [task.id for task in [*first, *second, *third]]
    assert listed == [task.id for task in reversed(tasks)]
    assert await store.tasks.recent(None, 3, before=third[-1].id) == []


async def test_a_list_of_some_statuses_stays_in_order(store: Store, queue: EmbeddedQueue) -> None:
    tasks = [await submitted(queue) for _ in range(6)]
    for result in (COMPLETED, failed("Why not."), COMPLETED):
        await queue.finish(await queue.claim(QueueName.TASKS), result)

    ended = await store.tasks.recent({TaskStatus.COMPLETED, TaskStatus.FAILED}, 10)
    some = await store.tasks.recent({TaskStatus.FAILED, TaskStatus.PENDING}, 2)

    assert [task.id for task in ended] == [tasks[2].id, tasks[1].id, tasks[0].id]
    assert [task.id for task in some] == [tasks[5].id, tasks[4].id]
    assert await store.tasks.recent({TaskStatus.CANCELLED}, 10) == []
    assert await counts(store) == {
        TaskStatus.COMPLETED: 2,
        TaskStatus.FAILED: 1,
        TaskStatus.PENDING: 3,
    }


@pytest.mark.parametrize("length", [1000, 1001, 1002, 200_000])
async def test_a_list_shows_the_head_of_a_description_and_a_task_all_of_it(
    store: Store, queue: EmbeddedQueue, length: int
) -> None:
    new = await submitted(queue, "長" * length)

    (listed,) = await store.tasks.recent(None, 1)

    assert len(listed.request.description) == min(length, 1001)
    assert (await stored(store, new.id)).request.description == "長" * length


async def test_events_go_on_after_the_last_one_seen(store: Store, queue: EmbeddedQueue) -> None:
    run = await running(queue)
    await store.events.append(run.task_id, run.id, EventType.AGENT_SAID, {"text": "Hello 🦀"})

    first = await store.events.after(run.task_id, 0, 2)
    rest = await store.events.after(run.task_id, first[-1].seq, 100)

    assert [event.type for event in first] == [EventType.TASK_SUBMITTED, EventType.RUN_STARTED]
    assert [(event.type, event.data) for event in rest] == [
        (EventType.AGENT_SAID, {"text": "Hello 🦀"})
    ]
    assert rest[0].run_id == run.id
    assert rest[0].time == START
    assert len({event.id for event in [*first, *rest]}) == 3


# --- Steps -----------------------------------------------------------------------------------


async def test_a_finished_step_is_kept_with_its_changes_and_events(
    store: Store, queue: EmbeddedQueue
) -> None:
    run = await running(queue)
    pull_request = PullRequest(7, "https://github.com/user/repo/pull/7", "open", draft=True)
    changes = TaskChanges(
        usage=Usage(2, 30, 40, 0.5),
        pull_request=pull_request,
        branch_pushed=True,
        work_dir="/work",
        phase=Phase.PUBLISHING,
    )

    await store.steps.start(run, "publish", 0, Phase.AGENT)
    assert await store.steps.result(run.id, "publish", 0) is None
    assert (await stored(store, run.task_id)).phase is Phase.AGENT
    await store.steps.finish(
        run, "publish", 0, '{"ok":true}', changes, [(EventType.BRANCH_PUSHED, {"branch": "b"})]
    )

    task = await stored(store, run.task_id)
    assert await store.steps.result(run.id, "publish", 0) == '{"ok":true}'
    assert await store.steps.result(run.id, "publish", 1) is None
    assert (task.usage, task.pull_request) == (Usage(2, 30, 40, 0.5), pull_request)
    assert (task.branch_pushed, task.work_dir, task.phase) == (True, "/work", Phase.PUBLISHING)
    assert [event.type for event in await store.events.after(run.task_id, 0, 100)][2:] == [
        EventType.STEP_STARTED,
        EventType.BRANCH_PUSHED,
        EventType.STEP_FINISHED,
    ]


async def test_the_usage_of_all_rounds_is_added_up_and_nothing_else_is_touched(
    store: Store, queue: EmbeddedQueue
) -> None:
    run = await running(queue)
    await store.steps.finish(run, "prepare", 0, "{}", TaskChanges(work_dir="/work"))

    for round_ in (1, 2):
        await store.steps.finish(
            run, "work", round_, "{}", TaskChanges(usage=Usage(1, 10, 100, 0.25))
        )

    task = await stored(store, run.task_id)
    assert task.usage == Usage(2, 20, 200, 0.5)
    assert task.work_dir == "/work"


async def test_a_step_that_failed_can_be_done_again(store: Store, queue: EmbeddedQueue) -> None:
    run = await running(queue)
    await store.steps.fail(run, "verify", 1, TestsFailed("Exit code 1."))
    assert await store.steps.result(run.id, "verify", 1) is None

    await store.steps.start(run, "verify", 1, Phase.TESTING)
    await store.steps.finish(run, "verify", 1, "{}", TaskChanges())

    assert await store.steps.result(run.id, "verify", 1) == "{}"


async def test_every_write_of_a_lost_run_is_refused_and_leaves_nothing(
    store: Store, queue: EmbeddedQueue
) -> None:
    lost = await running(queue)
    await queue.interrupt(lost)
    await queue.claim(QueueName.TASKS)
    before = await store.events.after(lost.task_id, 0, 100)

    for write in (
        store.steps.start(lost, "work", 1, Phase.AGENT),
        store.steps.finish(lost, "work", 1, "{}", TaskChanges(branch_pushed=True)),
        store.steps.note(lost, TaskChanges(branch_pushed=True)),
        store.steps.fail(lost, "work", 1, TestsFailed("Too late.")),
        store.logs.append(lost, "too late"),
        store.diffs.put(lost, "too late"),
        store.events.tell(lost, EventType.AGENT_SAID, {"text": "too late"}),
    ):
        with pytest.raises(RunLost):
            await write

    assert await store.steps.result(lost.id, "work", 1) is None
    assert (await store.logs.text(lost.task_id), await store.diffs.get(lost.task_id)) == ("", None)
    assert await store.events.after(lost.task_id, 0, 100) == before
    assert not (await stored(store, lost.task_id)).branch_pushed


# --- Texts -----------------------------------------------------------------------------------


async def test_the_log_grows_and_the_diff_is_replaced(store: Store, queue: EmbeddedQueue) -> None:
    run = await running(queue)

    for text in ("one\n", "two\n"):
        await store.logs.append(run, text)
        await store.diffs.put(run, text)

    assert await store.logs.text(run.task_id) == "one\ntwo\n"
    assert await store.diffs.get(run.task_id) == "two\n"


async def test_no_secret_is_written_down(store: Store, queue: EmbeddedQueue) -> None:
    await tell_a_secret(store, queue)
    written = str(await rows_of(store))
    assert "the password is ***" in written
    assert "hunter2" not in written


async def test_half_an_emoji_and_nul_from_the_agent_stop_nothing(
    store: Store, queue: EmbeddedQueue
) -> None:
    run = await running(queue)

    await store.logs.append(run, "half \ud83e\0")
    await store.events.append(run.task_id, run.id, EventType.AGENT_SAID, {"text": "half \ud83e\0"})

    assert await store.logs.text(run.task_id) == "half ??"
    assert (await store.events.after(run.task_id, 0, 100))[-1].data == {"text": "half ??"}


# --- Pull requests ---------------------------------------------------------------------------


def record(task_id: TaskId, number: int, *, state: str = "open") -> PullRequestRecord:
    return PullRequestRecord(
        task_id,
        "/srv/repo",
        PullRequest(number, f"/pull/{number}", state, draft=False),
        head="u/codebot/abc1234/dark-mode",
        base="main",
        title="Add dark mode",
        body="It is dark now.",
        opened_at=START,
    )


async def test_a_local_pull_request_gets_the_next_number_of_its_repository_once(
    store: Store,
) -> None:
    unnumbered = record(TaskId(new_uuid7()), 0)
    heads = [replace(unnumbered, head=f"branch-{number}") for number in (1, 2, 1)]
    heads.append(replace(unnumbered, repository_url="/srv/other"))

    opened = [await store.pull_requests.open(each) for each in heads]

    assert [each.pull_request.number for each in opened] == [1, 2, 1, 1]


async def test_a_pull_request_is_found_by_its_branch_and_by_its_task(store: Store) -> None:
    task_id = TaskId(new_uuid7())
    await store.pull_requests.add(record(task_id, 1))
    await store.pull_requests.add(record(task_id, 2))
    await store.pull_requests.add(record(task_id, 2, state="closed"))

    newest = record(task_id, 2, state="closed")
    assert await store.pull_requests.find("/srv/repo", newest.head) == newest
    assert await store.pull_requests.get(task_id) == newest
    assert await store.pull_requests.find("/srv/repo", "main") is None
    assert await store.pull_requests.get(TaskId("nobody")) is None


async def test_the_words_of_a_pull_request_may_be_any(store: Store) -> None:
    task_id = TaskId(new_uuid7())

    await store.pull_requests.add(replace(record(task_id, 1), title="\0", body="half \ud83e\0"))

    kept = await store.pull_requests.get(task_id)
    assert kept is not None
    assert (kept.title, kept.body) == ("?", "half ??")


# --- Removal ---------------------------------------------------------------------------------


async def test_a_deleted_task_leaves_nothing_but_its_pull_request(
    store: Store, queue: EmbeddedQueue
) -> None:
    new = await submitted(queue, "x" * 5000)
    run = await queue.claim(QueueName.TASKS)
    await store.steps.finish(run, "work", 1, "{}", TaskChanges())
    await store.diffs.put(run, "diff")
    await asyncio.gather(*(store.logs.append(run, f"{line}\n") for line in range(1200)))
    await store.pull_requests.add(record(new.id, 1))
    await queue.finish(run, COMPLETED)

    await store.tasks.delete(new.id)

    assert [name for name, rows in (await rows_of(store)).items() if rows] == ["pull_requests"]


async def test_only_tasks_that_ended_before_and_that_nothing_waits_for_are_expired(
    store: Store, queue: EmbeddedQueue, clock: Clock
) -> None:
    old, busy, young = [await submitted(queue) for _ in range(3)]
    await submitted(queue)
    for _ in range(2):
        await queue.finish(await queue.claim(QueueName.TASKS), COMPLETED)
    await queue.enqueue(review_of(busy, "user/repo#1"))
    clock.pass_by(timedelta(hours=24))
    await queue.finish(await queue.claim(QueueName.TASKS), COMPLETED)

    assert await store.tasks.expired(START + timedelta(hours=1)) == [old.id]
    assert (await stored(store, young.id)).status is TaskStatus.COMPLETED


async def submitted(queue: EmbeddedQueue, description: str = "Add dark mode") -> NewTask:
    new = new_task(description)
    await queue.submit(new)
    return new


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.tasks.get(TaskId("nobody")) is None
    assert await store.runs.get(RunId("nothing")) is None
    assert await store.runs.of_task(TaskId("nobody")) == []
    assert await store.events.after(TaskId("nobody"), 0, 10) == []
