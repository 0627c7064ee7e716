"""A task that is cancelled while it is worked on: what ends, what is kept, what goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.agent import runner
from codebot.domain.run import QueueName
from codebot.domain.status import TaskStatus, is_final
from codebot.errors import ForgeBroken, ForgeForbidden
from codebot.publish import pull_request
from codebot.queue.worker import Worker
from codebot.sandbox import marks, processes
from codebot.store.store import utc_now
from fakes.clock import until
from fakes.git_http import git
from fakes.story import MENDS, Act, Story, open_story

BY = "the API key 0123456789abcdef"
STEPS = ["prepare", "set_up", "work", "collect", "verify", "publish"]
DAEMON = "(setsid sleep 60 </dev/null >/dev/null 2>&1 &)"
SLOW = Act(f"{DAEMON}; {MENDS}; sleep 0.2")
HANGS = Act(f"{DAEMON}; {MENDS}; echo up; exec sleep 60")


@asynccontextmanager
async def at_work(story: Story) -> AsyncIterator[Worker]:
    """Have a worker go on with the task."""
    await story.queue.interrupt(story.run)
    async with at_work_again(story) as worker:
        yield worker


@asynccontextmanager
async def at_work_again(story: Story) -> AsyncIterator[Worker]:
    """Have a worker go on with what waits."""
    worker = Worker(story.queue, QueueName.TASKS, story.pipeline.work_on, 1, utc_now)
    worker.start()
    try:
        yield worker
    finally:
        await worker.drain(timedelta(0))


async def cancel(story: Story) -> None:
    """Cancel the task, and wait for its end."""
    await story.queue.cancel(story.new.id, BY)
    await until(lambda: is_final(story.task.status), 20)


def branch_there(story: Story) -> bool:
    return story.new.branch_name in git("branch", cwd=story.origin)


def leavings(story: Story, root: Path) -> list[object]:
    """Give what is left of a task: processes, its workspace, its way to the model."""
    mark = marks.variable(str(root), None)
    return [
        *(p.pid for p in processes.process_table()
          if p.is_alive and processes.has_in_environment(p.pid, mark)),
        *story.workspaces.task_ids(),
        *story.pipeline.tools.agent.gateway._guests,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        *(("step.started", step) for step in STEPS),
        *(("step.finished", step) for step in STEPS[:-1]),
    ],
)
async def test_a_task_is_cancelled_in_every_step_and_keeps_what_it_had_collected(
    tmp_path: Path, moment: str, step: str
) -> None:
    async with open_story(tmp_path, SLOW, test_command="sleep 0.1") as story, at_work(story):
        await until(lambda: story._has_happened(moment, step), 20)
        await cancel(story)

        task = story.task
        assert leavings(story, tmp_path) == []
        assert task.status is TaskStatus.CANCELLED
        assert task.failure is not None
        assert task.failure.detail == f"The task was cancelled by {BY}."
        assert story.kinds().count("task.finished") == 1
        assert branch_there(story) == task.branch_pushed == (("collect", 1) in story.finished())
        assert (f"on the branch {task.branch_name}" in task.failure.hint) == task.branch_pushed
        opened = await story.store.pull_requests.get(task.id)
        assert (opened is None) == (task.pull_request is None)
        assert story.kinds().count("branch.pushed") == int(task.branch_pushed)
        assert len(story.agent.jobs) <= 1


async def test_the_tree_of_an_agent_is_dead_within_a_second_of_its_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace = timedelta(seconds=0.3)
    monkeypatch.setattr(runner, "INTERRUPT_GRACE", grace)
    monkeypatch.setattr(runner, "TERMINATE_GRACE", grace)
    stubborn = Act(f"trap '' INT TERM; {DAEMON}; echo up; while :; do sleep 1; done")
    async with open_story(tmp_path, stubborn) as story, at_work(story):
        await until(lambda: story.kinds().count("agent.said") == 2)
        clock = asyncio.get_running_loop().time
        began = clock()
        await cancel(story)

        assert clock() - began < 2 * grace.total_seconds() + 1
        assert leavings(story, tmp_path) == []


async def test_a_cancelled_agent_reaches_no_model_and_its_token_is_gone(tmp_path: Path) -> None:
    async with open_story(tmp_path, HANGS) as story, at_work(story):
        await until(lambda: story.kinds().count("agent.said") == 2)
        [job] = story.agent.jobs
        await cancel(story)
        assert story.pipeline.tools.agent.gateway._find(job.gateway.token.reveal().encode()) is None


async def test_another_node_keeps_what_was_collected_of_a_cancelled_task(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.workspaces.node = "one"
        await story.tell_until("step.finished", "collect")
        await story.queue.cancel(story.new.id, BY)

        story.workspaces.node = "two"
        await story.queue.finish(story.run, await story.tell())

        assert story.task.status is TaskStatus.CANCELLED
        assert branch_there(story)
        assert leavings(story, tmp_path) == []


@pytest.mark.parametrize("crash", ["before the worker hears", "while it ends"])
async def test_a_cancelled_task_never_goes_on_after_a_crash(tmp_path: Path, crash: str) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        await story.tell_until("step.finished", "collect")
        await story.queue.cancel(story.new.id, BY)
        if crash == "while it ends":
            await story.tell()  # puts everything away, and dies before that is written down
        await story.queue.recover()
        async with at_work_again(story):
            await until(lambda: is_final(story.task.status), 20)

        assert story.task.status is TaskStatus.CANCELLED
        assert len(story.agent.jobs) == 1
        assert branch_there(story)
        assert story.finished()[-1] == ("collect", 1)
        assert leavings(story, tmp_path) == []


async def test_a_branch_that_cannot_be_pushed_leaves_the_diff_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ForgeForbidden("The App may not push.")

    async with open_story(tmp_path, SLOW, test_command="sleep 60") as story, at_work(story):
        await until(lambda: story._has_happened("step.started", "verify"), 20)
        monkeypatch.setattr(pull_request, "push_branch", refuse)
        await cancel(story)

        assert story.task.failure is not None
        assert f"GET /api/v1/tasks/{story.new.id}/diff" in story.task.failure.hint
        assert "+# mended" in (await story.store.diffs.get(story.new.id) or "")
        assert leavings(story, tmp_path) == []


async def test_a_pull_request_that_arrived_although_nobody_heard_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = asyncio.Event()
    async with open_story(tmp_path, Act(MENDS)) as story:
        really_open = story.forge.open_pull_request

        async def open_and_hang(*arguments: object) -> None:
            await really_open(*arguments)  # type: ignore[arg-type]
            arrived.set()
            await asyncio.sleep(60)

        monkeypatch.setattr(type(story.forge), "open_pull_request", lambda _, *a: open_and_hang(*a))
        async with at_work(story):
            await arrived.wait()
            await cancel(story)

        assert story.task.pull_request is not None
        assert story.kinds().count("pull_request.opened") == 1
        assert story.task.status is TaskStatus.CANCELLED


async def test_a_task_that_waits_for_the_forge_ends_at_once(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.forge.refusal = ForgeBroken("The forge is down.")
        async with at_work(story):
            await until(lambda: "run.postponed" in story.kinds(), 20)
            answered = await story.queue.cancel(story.new.id, BY)

        assert answered.status is TaskStatus.CANCELLED
        assert story.task.status is TaskStatus.CANCELLED
        assert len(story.agent.jobs) == 1


async def test_the_folder_of_a_cancelled_task_is_nobodys(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        await story.tell_until("step.finished", "prepare")
        await story.queue.interrupt(story.run)
        assert await story.store.tasks.needs_workspace(story.new.id)
        await story.queue.cancel(story.new.id, BY)

        assert not await story.store.tasks.needs_workspace(story.new.id)


async def test_a_drain_in_the_midst_of_a_cancel_loses_nothing(tmp_path: Path) -> None:
    async with open_story(tmp_path, HANGS) as story:
        async with at_work(story) as worker:
            await until(lambda: story.kinds().count("agent.said") == 2)
            await story.queue.cancel(story.new.id, BY)
            await worker.drain(timedelta(0))
        if not is_final(story.task.status):
            async with at_work_again(story):
                await until(lambda: is_final(story.task.status))
        assert story.task.status is TaskStatus.CANCELLED
        assert leavings(story, tmp_path) == []
