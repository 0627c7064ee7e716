"""Submodules as they were brought, kept beside a task's tree: every place gets them from there.

What lies in the tree itself is the agent's to change. Here no box can write.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from codebot.domain.outcome import Checkout
from codebot.workspace.folders import TaskFolders, disk_errors
from codebot.workspace.means import copy_files

OF_GIT = (".git/modules", ".git/config")
"""What a tree's own `.git` holds of its submodules: their repositories, and that they are there."""


async def keep_submodules(folders: TaskFolders, paths: Sequence[str]) -> None:
    """Keep what lies at `paths` of a tree that nobody has touched; raises `DiskFull`."""
    if not paths:
        return
    with disk_errors(folders.submodules):
        for path in (*OF_GIT, *outermost(paths)):
            kept = folders.submodules / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            await copy_files(folders.tree / path, kept)


def kept_submodules(checkout: Checkout) -> Path | None:
    """Give the folder that is to be copied over a place of the task, None where there is none."""
    folder = TaskFolders(checkout.repository.parent).submodules
    return folder if checkout.submodules and folder.is_dir() else None


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Give those paths that lie in no other one.

    >>> outermost(["lib", "lib/in", "lib2", "vendor/lib"])
    ('lib', 'lib2', 'vendor/lib')
    """
    found: list[str] = []
    for path in sorted(paths):
        if not any(path.startswith(f"{above}/") for above in found):
            found.append(path)
    return tuple(found)
