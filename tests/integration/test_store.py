import asyncio
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from codebot.domain.event import EventType
from codebot.domain.outcome import Failure, PullRequest, Usage
from codebot.domain.run import QueueName, Run, RunId, RunResult
from codebot.domain.status import Outcome, Phase, TaskStatus
from codebot.domain.task import NewTask, Task, TaskId
from codebot.errors import ConfigError, Conflict, RunLost, StoreUnavailable, TestsFailed
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.pull_requests import PullRequestRecord
from codebot.store.steps import TaskChanges
from codebot.store.store import Store, new_uuid7
from fakes.clock import START, Clock
from fakes.tasks import COMPLETED, new_task, review_of


def redact(text: str) -> str:
    return text.replace("hunter2", "***")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "codebot.sqlite3"


@pytest.fixture
def shared_folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o1777)
    return tmp_path


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[Store]:
    patience = timedelta(seconds=0.05)
    store = await Store.open(path, redact=redact, now=clock, busy_timeout=patience)
    yield store
    await store.close()


@pytest.fixture
def queue(store: Store, clock: Clock) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=10_000, now=clock, new_id=new_uuid7)


async def running(queue: EmbeddedQueue) -> Run:
    await queue.submit(new_task())
    return await queue.claim(QueueName.TASKS)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def stored(store: Store, task_id: TaskId) -> Task:
    task = await store.tasks.get(task_id)
    assert task is not None
    return task


# --- Opening ---------------------------------------------------------------------------------


async def test_only_this_user_can_read_the_database(store: Store, path: Path) -> None:
    await store.check_writable()

    assert mode(path.parent) == 0o700
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}


async def test_a_path_is_no_url(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "100%20?mode=memory#" / "store.sqlite3"
    store = await Store.open(path)
    await EmbeddedQueue(store, max_pending=1, now=clock, new_id=new_uuid7).submit(new_task())
    await store.close()

    assert mode(path) == 0o600


async def test_a_folder_that_was_there_keeps_its_mode(shared_folder: Path) -> None:
    await (await Store.open(shared_folder / "store.sqlite3")).close()

    assert mode(shared_folder) == 0o1777
    assert mode(shared_folder / "store.sqlite3") == 0o600


async def test_a_commit_is_on_disk_when_it_returns(store: Store) -> None:
    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    full = 2
    assert await store._writer.write(pragmas) == ["wal", full]


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "up to date"])
async def test_a_database_that_is_not_older_opens_without_the_migration_tool(
    path: Path, *, is_there: bool
) -> None:
    if is_there:
        await (await Store.open(path)).close()
    program = f"""
import asyncio, sys
from pathlib import Path
from codebot.store.store import Store
asyncio.run(Store.open(Path({str(path)!r})))
sys.exit("alembic" in sys.modules)
"""
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", program)

    assert await service.wait() == 0


async def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    await (await Store.open(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(ConfigError, match="newer"):
        await Store.open(path)


async def test_a_file_that_is_no_database_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "codebot.sqlite3"
    path.write_text("these are not the bytes you are looking for" * 100)

    with pytest.raises(StoreUnavailable) as refused:
        await Store.open(path)

    assert refused.value.hint


async def test_a_folder_that_cannot_be_made_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreUnavailable) as refused:
        await Store.open(tmp_path / "file" / "codebot.sqlite3")

    assert refused.value.hint


# --- Group commit ----------------------------------------------------------------------------


async def test_writes_that_arrive_together_share_a_commit(
    store: Store, queue: EmbeddedQueue
) -> None:
    batches = watch_batches(store)

    await asyncio.gather(*(queue.submit(new_task()) for _ in range(100)))

    assert batches == [100]
    assert await store.tasks.counts() == {TaskStatus.PENDING: 100}


async def test_writes_that_arrive_during_a_commit_share_the_next(
    store: Store, queue: EmbeddedQueue
) -> None:
    batches = watch_batches(store)

    async def submit_some() -> None:
        for _ in range(20):
            await queue.submit(new_task())

    await asyncio.gather(*(submit_some() for _ in range(32)))

    assert sum(batches) == 20 * 32
    assert len(batches) < 20 * 32 / 4


async def test_a_write_that_fails_spoils_nothing_for_its_neighbours(
    store: Store, queue: EmbeddedQueue
) -> None:
    good = [new_task() for _ in range(10)]
    bad = [new_task(branch=good[0].branch_name), new_task("half an emoji: \ud83e")]

    outcomes = await asyncio.gather(
        *(queue.submit(new) for new in [*good, *bad]), return_exceptions=True
    )

    assert outcomes[:10] == [None] * 10
    assert [type(outcome) for outcome in outcomes[10:]] == [Conflict, UnicodeEncodeError]
    assert {task.id for task in await store.tasks.recent(None, 100)} == {new.id for new in good}


def watch_batches(store: Store) -> list[int]:
    sizes: list[int] = []
    transact = store._writer._transact

    def counting(batch: list[object]) -> list[object]:
        sizes.append(len(batch))
        return transact(batch)

    store._writer._transact = counting
    return sizes


# --- What must not be lost -------------------------------------------------------------------

SUBMIT_FOREVER = """
import asyncio, sys
from pathlib import Path
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7, utc_now
from fakes.tasks import new_task

async def submit(queue):
    while True:
        new = new_task()
        await queue.submit(new)
        print(new.id, flush=True)

async def main():
    store = await Store.open(Path(sys.argv[1]))
    queue = EmbeddedQueue(store, max_pending=10**6, now=utc_now, new_id=new_uuid7)
    await asyncio.gather(*(submit(queue) for _ in range(8)))

asyncio.run(main())
"""


async def test_a_killed_service_has_every_task_that_it_accepted(path: Path) -> None:
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUBMIT_FOREVER, str(path),
        stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert service.stdout is not None
    accepted = [await service.stdout.readline() for _ in range(200)]
    service.kill()
    accepted += (await service.stdout.read()).splitlines(keepends=True)
    await service.wait()

    store = await Store.open(path)
    known = {task.id for task in await store.tasks.recent(None, 100_000)}
    queue = EmbeddedQueue(store, max_pending=1, now=Clock(), new_id=new_uuid7)
    await queue.recover()

    whole = {line.decode().strip() for line in accepted if line.endswith(b"\n")}
    assert len(whole) >= 200
    assert whole <= known
    assert queue.size(QueueName.TASKS) == len(known)
    assert (await queue.claim(QueueName.TASKS)).task_id in known
    await store.close()


async def test_a_locked_database_is_unavailable_and_then_goes_on(
    store: Store, queue: EmbeddedQueue, path: Path
) -> None:
    backup = sqlite3.connect(path, isolation_level=None)
    backup.execute("BEGIN EXCLUSIVE")

    outcomes = await asyncio.gather(
        *(queue.submit(new_task()) for _ in range(3)), return_exceptions=True
    )
    with pytest.raises(StoreUnavailable) as refused:
        await store.check_writable()

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert refused.value.hint
    assert refused.value.retry_after is not None
    assert queue.size(QueueName.TASKS) == 0
    backup.execute("ROLLBACK")
    backup.close()
    await queue.submit(new_task())
    assert await store.tasks.counts() == {TaskStatus.PENDING: 1}


@pytest.mark.parametrize("by", ["nothing", "a restored backup"])
async def test_a_database_file_that_is_gone_takes_no_more_promises(
    store: Store, queue: EmbeddedQueue, path: Path, by: str
) -> None:
    await queue.submit(new_task())
    taken_away = shutil.move(path, path.with_name("taken-away"))
    if by == "a restored backup":
        shutil.copy(taken_away, path)
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await queue.submit(new_task())
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.check_writable()


async def test_a_full_disk_is_unavailable_and_then_goes_on(
    store: Store, queue: EmbeddedQueue
) -> None:
    await set_room(store, pages=1)

    outcomes = await asyncio.gather(
        *(queue.submit(new_task("x" * 50_000)) for _ in range(30)), return_exceptions=True
    )

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert queue.size(QueueName.TASKS) == 0
    assert await store.tasks.counts() == {}
    await set_room(store, pages=1_000_000)
    await queue.submit(new_task())
    assert queue.size(QueueName.TASKS) == 1


async def set_room(store: Store, *, pages: int) -> None:
    """Let SQLite believe that the disk has room for so many pages, or just what it has now."""
    await store._writer.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))


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
    assert await store.tasks.counts() == {
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


async def test_no_secret_is_written_down(store: Store, queue: EmbeddedQueue, path: Path) -> None:
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
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"the password is ***" in written
    assert b"hunter2" not in written


async def test_half_an_emoji_from_the_agent_stops_nothing(
    store: Store, queue: EmbeddedQueue
) -> None:
    run = await running(queue)

    await store.logs.append(run, "half \ud83e")
    await store.events.append(run.task_id, run.id, EventType.AGENT_SAID, {"text": "half \ud83e"})

    assert await store.logs.text(run.task_id) == "half ?"
    assert (await store.events.after(run.task_id, 0, 100))[-1].data == {"text": "half ?"}


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


async def test_a_pull_request_is_found_by_its_branch_and_by_its_task(store: Store) -> None:
    task_id = TaskId(new_uuid7())
    assert await store.pull_requests.next_number("/srv/repo") == 1
    await store.pull_requests.add(record(task_id, 1))
    await store.pull_requests.add(record(task_id, 2))
    await store.pull_requests.add(record(task_id, 2, state="closed"))

    newest = record(task_id, 2, state="closed")
    assert await store.pull_requests.find("/srv/repo", newest.head) == newest
    assert await store.pull_requests.get(task_id) == newest
    assert await store.pull_requests.next_number("/srv/repo") == 3
    assert await store.pull_requests.next_number("/srv/other") == 1
    assert await store.pull_requests.find("/srv/repo", "main") is None
    assert await store.pull_requests.get(TaskId("nobody")) is None


# --- Removal ---------------------------------------------------------------------------------


async def test_a_deleted_task_leaves_nothing_but_its_pull_request(
    store: Store, queue: EmbeddedQueue, path: Path
) -> None:
    new = await submitted(queue, "x" * 5000)
    run = await queue.claim(QueueName.TASKS)
    await store.steps.finish(run, "work", 1, "{}", TaskChanges())
    await store.diffs.put(run, "diff")
    await asyncio.gather(*(store.logs.append(run, f"{line}\n") for line in range(1200)))
    await store.pull_requests.add(record(new.id, 1))
    await queue.finish(run, COMPLETED)

    await store.tasks.delete(new.id)

    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )]  # fmt: skip
        rows = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}
    connection.close()
    assert {table for table, count in rows.items() if count} == {
        "alembic_version",
        "pull_requests",
    }


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


def failed(detail: str) -> RunResult:
    failure = Failure("tests_failed", detail, "Look at the tests.", retryable=False)
    return RunResult(TaskStatus.FAILED, Outcome.TESTS_FAILED, failure)


async def submitted(queue: EmbeddedQueue, description: str = "Add dark mode") -> NewTask:
    new = new_task(description)
    await queue.submit(new)
    return new


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.tasks.get(TaskId("nobody")) is None
    assert await store.runs.get(RunId("nothing")) is None
    assert await store.runs.of_task(TaskId("nobody")) == []
    assert await store.events.after(TaskId("nobody"), 0, 10) == []
