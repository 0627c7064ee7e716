"""Marks of what `codebot run` works on: by these the next one knows what a killed one left.

A folder alone does not tell, since that of a task which ended stays for people to look at. Whoever
works on a task holds the lock of its mark, and the kernel lets go of the locks of the dead.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from codebot.domain.task import TaskId
from codebot.errors import CodebotError
from codebot.sandbox.locks import hold_file, let_go
from codebot.workspace.folders import disk_errors, is_task_id, make_private

log = structlog.get_logger(__name__)

SUFFIX = ".unfinished"


@contextmanager
def unfinished(work_dir: Path, task_id: TaskId) -> Iterator[None]:
    """Mark a task for the block. The mark stays where that ends early and leaves a folder."""
    mark = work_dir / f"{task_id}{SUFFIX}"
    with disk_errors(work_dir):
        make_private(work_dir)
        lock = None
        while lock is None:  # somebody may take it for a leftover before it is locked
            lock = hold_file(mark)
    is_done = False
    try:
        yield
        is_done = True
    finally:
        if is_done or not (work_dir / task_id).exists():
            mark.unlink(missing_ok=True)
        let_go(lock)


async def remove_unfinished(work_dir: Path, remove: Callable[[TaskId], Awaitable[None]]) -> None:
    """Remove what dead runs left, by `remove`; what cannot be removed now is left to the next."""
    for task_id in _marked(work_dir):
        mark = work_dir / f"{task_id}{SUFFIX}"
        lock = hold_file(mark)
        if lock is None:
            continue
        try:
            await remove(task_id)
            mark.unlink(missing_ok=True)
        except (CodebotError, OSError) as error:
            log.warning("workspace.not_removed", task_id=task_id, reason=str(error))
        finally:
            let_go(lock)


def _marked(work_dir: Path) -> list[TaskId]:
    names = [mark.name.removesuffix(SUFFIX) for mark in work_dir.glob(f"*{SUFFIX}")]
    return [TaskId(name) for name in sorted(names) if is_task_id(name)]
