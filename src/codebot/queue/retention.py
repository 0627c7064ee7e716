"""What is kept how long: a task that ended goes with everything that is its own."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import structlog

from codebot.domain.task import TaskId
from codebot.errors import CodebotError
from codebot.store.store import Store

log = structlog.get_logger(__name__)


class Retention:
    """Removes tasks `keep` after they ended, and workspace folders that nobody needs.

    `remove_workspace`, `free_workspace` and `workspace_ids` are the workspaces' own; `has_moved`
    says whether a task has ended at another node than this one. The record of a pull request is no
    task data and stays.
    """

    def __init__(
        self,
        store: Store,
        *,
        keep: timedelta,
        now: Callable[[], datetime],
        remove_workspace: Callable[[TaskId], Awaitable[None]],
        free_workspace: Callable[[TaskId, Callable[[], Awaitable[bool]]], Awaitable[None]],
        workspace_ids: Callable[[], Collection[TaskId]],
        has_moved: Callable[[TaskId], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._keep = keep
        self._now = now
        self._remove_workspace = remove_workspace
        self._free_workspace = free_workspace
        self._workspace_ids = workspace_ids
        self._has_moved = has_moved
        self._soon = asyncio.Event()

    async def sweep(self) -> int:
        """Remove what is due and say how many tasks went.

        First, nobody can retry it any more. Then the folder goes: whatever stops the sweep in
        between, no folder is left that the store has forgotten. What cannot be removed now is tried
        again by the next sweep.
        """
        swept = 0
        for task_id in await self._store.tasks.expired(self._now() - self._keep):
            is_over = await self._store.tasks.begin_removal(task_id)
            if is_over and await self._remove_folder(task_id):
                await self._store.tasks.delete(task_id)
                swept += 1
        await self._sweep_strays()
        if swept:
            log.info("tasks.swept", count=swept)
        return swept

    async def keep_sweeping(self, every: timedelta) -> None:
        """Sweep now and then, until cancelled; whatever is in trouble is waited for."""
        while True:
            self._soon.clear()
            try:
                await self.sweep()
            except CodebotError as error:
                log.warning("sweep.stopped", detail=error.detail, hint=error.hint)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._soon.wait(), every.total_seconds())

    def sweep_soon(self) -> None:
        """Let the next sweep begin: a task ended that leaves a folder which nobody needs."""
        self._soon.set()

    async def _sweep_strays(self) -> None:
        """Remove folders of tasks that are not in the store, were cancelled, or ended elsewhere.

        What another node has removed from the store, or taken over, is here in its folder only. A
        task is stored before its folder is made, so a folder seen first and not found then
        belongs to nobody.
        """
        for task_id in sorted(self._workspace_ids()):
            is_unused = partial(self._is_unused, task_id)
            if await is_unused():
                await self._try(task_id, self._free_workspace(task_id, is_unused))

    async def _is_unused(self, task_id: TaskId) -> bool:
        is_needed = await self._store.tasks.needs_workspace(task_id)
        return not is_needed or await self._has_moved(task_id)

    async def _remove_folder(self, task_id: TaskId) -> bool:
        """Remove the task's workspace; say whether it is gone."""
        return await self._try(task_id, self._remove_workspace(task_id))

    async def _try(self, task_id: TaskId, removal: Awaitable[None]) -> bool:
        try:
            await removal
        except (CodebotError, OSError) as error:
            log.warning("workspace.not_removed", task_id=task_id, reason=str(error))
            return False
        return True
