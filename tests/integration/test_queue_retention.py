import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from shutil import rmtree

import pytest

from codebot.domain.run import QueueName
from codebot.domain.task import TaskId
from codebot.errors import WorkspaceError
from codebot.git.git import Git
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.retention import Retention
from codebot.sandbox.direct import DirectSandbox
from codebot.store.store import Store, new_uuid7
from codebot.workspace.limits import Limits
from codebot.workspace.workspaces import Workspaces
from fakes.at_once import at_once
from fakes.clock import Clock, until
from fakes.stored import counts
from fakes.tasks import COMPLETED, new_task

KEEP = timedelta(hours=24)


class Folders:
    """Workspaces as far as a sweep knows them: a folder per task, some of which are stuck."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stuck: set[TaskId] = set()
        self.elsewhere: set[TaskId] = set()
        self.unreadable = False

    def make(self, task_id: TaskId) -> None:
        (self.root / task_id).mkdir(parents=True)

    async def remove(self, task_id: TaskId) -> None:
        if task_id in self.stuck:
            raise WorkspaceError("A process still runs there.")
        rmtree(self.root / task_id, ignore_errors=True)

    async def free(self, task_id: TaskId, is_unused: Callable[[], Awaitable[bool]]) -> None:
        if await is_unused():
            await self.remove(task_id)

    async def has_moved(self, task_id: TaskId) -> bool:
        return task_id in self.elsewhere

    def task_ids(self) -> set[TaskId]:
        if self.unreadable:
            raise WorkspaceError("The disk reports an error.")
        return {TaskId(folder.name) for folder in self.root.iterdir()}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    path = tmp_path / "data" / "codebot.sqlite3"
    store = await Store.open(path, now=clock, busy_timeout=timedelta(seconds=0.02))
    yield store
    await store.close()


@pytest.fixture
def queue(store: Store, clock: Clock) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=1000, now=clock, new_id=new_uuid7)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders(tmp_path / "work")
    folders.root.mkdir()
    return folders


@pytest.fixture
def retention(store: Store, clock: Clock, folders: Folders) -> Retention:
    return Retention(
        store,
        keep=KEEP,
        now=clock,
        remove_workspace=folders.remove,
        free_workspace=folders.free,
        workspace_ids=folders.task_ids,
        has_moved=folders.has_moved,
    )


async def ended(queue: EmbeddedQueue, folders: Folders) -> TaskId:
    new = new_task()
    await queue.submit(new)
    folders.make(new.id)
    await queue.finish(await queue.claim(QueueName.TASKS), COMPLETED)
    return new.id


async def test_a_task_goes_with_its_workspace_when_its_time_is_over(
    store: Store, queue: EmbeddedQueue, folders: Folders, retention: Retention, clock: Clock
) -> None:
    old = await ended(queue, folders)
    clock.pass_by(timedelta(hours=1))
    young = await ended(queue, folders)
    clock.pass_by(KEEP - timedelta(minutes=1))

    assert await retention.sweep() == 1

    assert not await store.tasks.is_known(old)
    assert await store.tasks.is_known(young)
    assert folders.task_ids() == {young}
    assert await retention.sweep() == 0


async def test_what_a_task_left_here_that_ended_at_another_node_goes_at_once(
    store: Store, queue: EmbeddedQueue, folders: Folders, retention: Retention
) -> None:
    moved, ours = [await ended(queue, folders) for _ in range(2)]
    folders.elsewhere.add(moved)

    assert await retention.sweep() == 0

    assert folders.task_ids() == {ours}
    assert await store.tasks.is_known(moved)


async def test_a_task_that_waits_or_runs_is_never_swept(
    store: Store, queue: EmbeddedQueue, folders: Folders, retention: Retention, clock: Clock
) -> None:
    for _ in range(2):
        await queue.submit(new_task())
    run = await queue.claim(QueueName.TASKS)
    folders.make(run.task_id)
    clock.pass_by(KEEP * 10)

    assert await retention.sweep() == 0

    assert sum((await counts(store)).values()) == 2
    assert folders.task_ids() == {run.task_id}


async def test_the_workspace_of_a_task_that_was_cancelled_is_removed_soon(
    store: Store, queue: EmbeddedQueue, folders: Folders, retention: Retention
) -> None:
    new = new_task()
    await queue.submit(new)
    folders.make(new.id)
    sweeping = asyncio.create_task(retention.keep_sweeping(timedelta(hours=1)))
    await asyncio.sleep(0.05)
    assert folders.task_ids() == {new.id}

    await queue.cancel(new.id, "the API key 0123")
    retention.sweep_soon()

    await until(lambda: folders.task_ids() == set())
    assert await store.tasks.is_known(new.id)
    sweeping.cancel()
    await asyncio.wait([sweeping])


async def test_a_folder_that_is_needed_again_meanwhile_stays(tmp_path: Path) -> None:
    async def needed() -> bool:
        return False

    git = Git(home=tmp_path / "git-home")
    sandbox = DirectSandbox(path=os.environ["PATH"], mark=str(tmp_path))
    workspaces = Workspaces(
        git, sandbox, mirrors=tmp_path / "mirrors", work_dir=tmp_path / "work", limits=Limits()
    )
    new = new_task()
    (tmp_path / "work" / new.id).mkdir(parents=True)

    await workspaces.free(new.id, needed)

    assert workspaces.task_ids() == {new.id}


async def test_a_workspace_of_no_task_is_removed(folders: Folders, retention: Retention) -> None:
    folders.make(TaskId(new_uuid7()))

    await retention.sweep()

    assert folders.task_ids() == set()


async def test_a_workspace_that_cannot_be_removed_keeps_its_task_and_holds_up_no_other(
    store: Store, queue: EmbeddedQueue, folders: Folders, retention: Retention, clock: Clock
) -> None:
    stuck, other = [await ended(queue, folders) for _ in range(2)]
    folders.stuck.add(stuck)
    clock.pass_by(KEEP * 2)

    assert await retention.sweep() == 1

    assert await store.tasks.is_known(stuck)
    assert not await store.tasks.is_known(other)
    folders.stuck.clear()
    assert await retention.sweep() == 1


async def test_tasks_are_accepted_while_a_sweep_deletes(
    store: Store, queue: EmbeddedQueue, folders: Folders, retention: Retention, clock: Clock
) -> None:
    new = new_task()
    await queue.submit(new)
    run = await queue.claim(QueueName.TASKS)
    await asyncio.gather(*(store.logs.append(run, "x" * 1000) for _ in range(3000)))
    await queue.finish(run, COMPLETED)
    clock.pass_by(KEEP * 2)

    sweeping = asyncio.create_task(retention.sweep())
    accepted = 0
    while not sweeping.done():
        await queue.submit(new_task())
        accepted += 1

    assert await sweeping == 1
    assert accepted >= 5


async def test_sweeping_goes_on_after_the_store_was_locked(
    store: Store,
    queue: EmbeddedQueue,
    folders: Folders,
    retention: Retention,
    clock: Clock,
    tmp_path: Path,
) -> None:
    task_id = await ended(queue, folders)
    clock.pass_by(KEEP * 2)
    backup = sqlite3.connect(tmp_path / "data" / "codebot.sqlite3", isolation_level=None)
    backup.execute("BEGIN EXCLUSIVE")

    sweeping = asyncio.create_task(retention.keep_sweeping(timedelta(seconds=0.01)))
    await asyncio.sleep(0.1)
    assert await store.tasks.is_known(task_id)
    backup.close()
    await until(lambda: not at_once(store.tasks.is_known(task_id)))

    assert folders.task_ids() == set()
    assert not sweeping.done()
    sweeping.cancel()


async def test_sweeping_goes_on_after_the_folders_could_not_be_read(
    folders: Folders, retention: Retention
) -> None:
    folders.make(TaskId(new_uuid7()))
    folders.unreadable = True
    sweeping = asyncio.create_task(retention.keep_sweeping(timedelta(seconds=0.01)))
    await asyncio.sleep(0.05)
    folders.unreadable = False
    await until(lambda: not folders.task_ids())

    assert not sweeping.done()
    sweeping.cancel()
