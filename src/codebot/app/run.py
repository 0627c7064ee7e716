"""`codebot run`: one task, here and now, with a store of its own and no server."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from codebot.app.parts import Parts, open_parts, repository_rules
from codebot.app.trial import require_sandbox
from codebot.domain.event import Event
from codebot.domain.status import TaskStatus, is_final
from codebot.domain.task import Task, TaskId, TaskRequest
from codebot.errors import ConfigError, RunLost
from codebot.intake.submission import task_request
from codebot.queue.lock import unusable
from codebot.queue.submit import submit_task
from codebot.sandbox.held_folder import held_folder
from codebot.sandbox.privacy import hide_environment
from codebot.settings import Settings
from codebot.store.store import new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.workspace.folders import make_private

FOLLOW_EVERY = 0.1
"""Seconds between two looks for news: they are point reads of this process's own store."""

MOST_EVENTS = 1000


async def run_task(
    settings: Settings,
    fields: Mapping[str, Any],
    *,
    redactor: Redactor,
    show: Callable[[Event], None],
) -> Task:
    """Do one task from its six fields and give it as it ended; `show` hears of every event.

    A local directory may be worked on without further ado: who can start this can change it. The
    mirrors are shared with a running service; the rest is this run's own and goes with it. The
    workspace of a task that failed stays for a look. Raises `InvalidTask`, `ConfigError` where no
    model could be asked, and `SandboxUnavailable`.
    """
    hide_environment()
    with held_folder("codebot-run-") as folder:
        own = _own(settings, folder)
        request = task_request(fields, repository_rules(own))
        _require_model(settings)
        _make_folders(settings)
        async with open_parts(own, redactor, public_url="") as parts:
            await require_sandbox(parts)
            task = await _do(parts, request, show)
            if task.status is TaskStatus.COMPLETED:
                await parts.workspaces.remove(task.id)
            return task


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


def _own(settings: Settings, folder: Path) -> Settings:
    """Give the settings with a database of this run alone, and every local repository allowed."""
    return replace(
        settings,
        database=folder / "codebot.sqlite3",
        work_dir=settings.work_dir / "run",  # a service sweeps what it does not know from its own
        local_repos=(Path("/"),),
        submodule_repos=settings.local_repos,  # what a repository names is nobody's choice here
    )


async def _do(parts: Parts, request: TaskRequest, show: Callable[[Event], None]) -> Task:
    worker = parts.worker(1)
    new = await submit_task(parts.queue, request, key_fingerprint="", now=utc_now, new_id=new_uuid7)
    worker.start()
    try:
        return await _follow(parts, new.id, show)
    finally:
        await worker.drain(timedelta(0))


async def _follow(parts: Parts, task_id: TaskId, show: Callable[[Event], None]) -> Task:
    """Tell of every event until the task has ended."""
    seen = 0
    while True:
        task = parts.store.tasks.get(task_id)
        if task is None:
            raise RunLost(f"The task {task_id} is gone.")
        for event in parts.store.events.after(task_id, seen, MOST_EVENTS):
            show(event)
            seen = event.seq
        if is_final(task.status):
            return task
        await asyncio.sleep(FOLLOW_EVERY)
