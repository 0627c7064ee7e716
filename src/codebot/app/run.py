"""`codebot run`: one task, here and now, with a store of its own and no server."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

from codebot.app.forges import repository_rules
from codebot.app.parts import Parts, open_parts
from codebot.app.trial import require_sandbox
from codebot.app.unfinished import remove_unfinished, unfinished
from codebot.domain.event import Event
from codebot.domain.status import TaskStatus, is_final
from codebot.domain.task import Task, TaskId, TaskRequest
from codebot.errors import ConfigError, RunLost
from codebot.intake.submission import task_request
from codebot.pipeline.recorded import ROUNDS
from codebot.queue.lock import unusable
from codebot.queue.submit import submit_task
from codebot.sandbox.held_folder import held_folder
from codebot.sandbox.privacy import hide_environment
from codebot.settings import Settings
from codebot.store.store import new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.workspace.folders import disk_errors, make_private

FOLLOW_EVERY = 0.1
"""Seconds between two looks for news: they are point reads of this process's own store."""

MOST_EVENTS = 1000

AGENT_LOG, TESTS_LOG = "agent.log", "tests.log"
"""Files in the task's folder, which outlive the store."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A task as it ended, what its agent did and its tests printed, and the folder that keeps both.

    `agent` and `tests` are "" where there is nothing to tell.
    """

    task: Task
    agent: str
    tests: str
    folder: Path


async def run_task(
    settings: Settings,
    fields: Mapping[str, Any],
    *,
    redactor: Redactor,
    show: Callable[[Event], None],
) -> Ended:
    """Do one task from its fields and give it as it ended; `show` hears of every event.

    A local directory may be worked on without further ado: who can start this can change it. The
    mirrors are shared with a running service; the rest is this run's own and goes with it. What
    the agent and the tests said stays in the task's folder, as does the workspace of a task that
    failed; what a run that was killed left goes first. Raises `InvalidTask`, `ConfigError` where no
    model could be asked, and `SandboxUnavailable`.
    """
    hide_environment()
    with held_folder("codebot-run-") as folder:
        own = for_one_task(settings, folder)
        request = task_request(fields, repository_rules(own))
        _require_model(settings)
        _make_folders(settings)
        async with open_parts(own, redactor, public_url="") as parts:
            await require_sandbox(parts)
            await remove_unfinished(own.work_dir, parts.workspaces.remove)
            return await _submit_and_do(parts, request, show)


async def _submit_and_do(
    parts: Parts, request: TaskRequest, show: Callable[[Event], None]
) -> Ended:
    submitted = await submit_task(
        parts.queue, request, key_fingerprint="", now=utc_now, new_id=new_uuid7
    )
    new = submitted.task
    work_dir = parts.settings.work_dir
    with unfinished(work_dir, new.id):
        task = await _do(parts, new.id, show)
        if task.status is TaskStatus.COMPLETED:
            await parts.workspaces.remove(task.id)
        await parts.budget().hold_down()
        return await _keep_words(parts, task, work_dir / task.id)


def _require_model(settings: Settings) -> None:
    if settings.asks_a_model and not settings.has_model_credential:
        raise ConfigError(
            ("There is no credential for the model.",),
            hint="Set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN).",
        )


def _make_folders(settings: Settings) -> None:
    """Make both for this user alone, before anything makes them on the way to its own folder."""
    named = {"CODEBOT_DATA_DIR": settings.data_dir, "CODEBOT_WORK_DIR": settings.work_dir}
    for setting, folder in named.items():
        try:
            make_private(folder)
        except OSError as error:
            raise unusable(folder, setting, error) from error


def for_one_task(settings: Settings, folder: Path) -> Settings:
    """Give the settings with a database of this run alone, and every local repository allowed."""
    return replace(
        settings,
        database=folder / "codebot.sqlite3",
        work_dir=settings.work_dir / "run",  # a service sweeps what it does not know from its own
        local_repos=(Path("/"),),
        submodule_repos=settings.local_repos,  # what a repository names is nobody's choice here
    )


async def _keep_words(parts: Parts, task: Task, folder: Path) -> Ended:
    """Write down what the agent did, and what the tests printed in the last round."""
    agent, tests = await parts.store.logs.text(task.id), await _last_output(parts, task.id)
    with disk_errors(folder):
        make_private(folder)
        (folder / AGENT_LOG).write_text(agent)
        (folder / TESTS_LOG).write_text(tests)
    return Ended(task, agent, tests, folder)


async def _last_output(parts: Parts, task_id: TaskId) -> str:
    """Give what the tests printed when they ran last, as far as a verdict keeps it."""
    events = await parts.store.events.after(task_id, 0, MOST_EVENTS)
    runs = {event.run_id for event in events} - {None}
    for run_id, round_ in product(runs, range(ROUNDS, 0, -1)):
        verdict = run_id and await parts.store.steps.result(run_id, "verify", round_)
        if verdict:
            found: dict[str, str] = json.loads(verdict)
            return found["output"] if found["command"] else ""
    return ""


async def _do(parts: Parts, task_id: TaskId, show: Callable[[Event], None]) -> Task:
    worker = parts.worker(1)
    worker.start()
    try:
        return await _follow(parts, task_id, show)
    except (asyncio.CancelledError, KeyboardInterrupt):
        await worker.drain(timedelta(0))
        await parts.workspaces.remove(task_id)  # nobody can go on with it: its store goes, too
        raise
    finally:
        await worker.drain(timedelta(0))


async def _follow(parts: Parts, task_id: TaskId, show: Callable[[Event], None]) -> Task:
    """Tell of every event until the task has ended."""
    seen = 0
    while True:
        task = await parts.store.tasks.get(task_id)
        if task is None:
            raise RunLost(f"The task {task_id} is gone.")
        for event in await parts.store.events.after(task_id, seen, MOST_EVENTS):
            show(event)
            seen = event.seq
        if is_final(task.status):
            return task
        await asyncio.sleep(FOLLOW_EVERY)
