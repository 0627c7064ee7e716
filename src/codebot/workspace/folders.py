"""Folders on disk: where a task's things are, made private, and removed whatever is in them."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codebot.domain.task import TaskId
from codebot.errors import ChangeRefused, DiskFull, WorkspaceError
from codebot.sandbox.room import is_full

PRIVATE = 0o700
LONGEST_REASON = 300
"""Characters: `rm` names every file that stays."""

_TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class TaskFolders:
    """Where the things of one task are."""

    top: Path

    @property
    def tree(self) -> Path:
        """The agent's working tree."""
        return self.top / "tree"

    @property
    def home(self) -> Path:
        """HOME of everything that runs in the tree."""
        return self.top / "home"

    @property
    def repository(self) -> Path:
        """The service's own bare repository of the task."""
        return self.top / "repository.git"

    @property
    def submodules(self) -> Path:
        """What was brought of other repositories, as it was; not there where nothing was."""
        return self.top / "submodules"

    def make(self) -> None:
        """Make them, all private; nothing may be there yet."""
        with disk_errors(self.top):
            make_private(self.top.parent)
            for folder in (self.top, self.tree, self.home, self.repository):
                folder.mkdir(mode=PRIVATE)


def folders_of(work_dir: Path, task_id: TaskId) -> TaskFolders:
    """Say where the things of a task are, below `work_dir`."""
    return TaskFolders(work_dir.absolute() / task_id)


def find_task_ids(work_dir: Path) -> set[TaskId]:
    """Say which tasks have a folder; whatever else lies there is none of ours."""
    with disk_errors(work_dir):
        try:
            names = os.listdir(work_dir)  # noqa: PTH208 - only the names
        except FileNotFoundError:
            return set()
    return {TaskId(name) for name in names if is_task_id(name)}


def is_task_id(name: str) -> bool:
    """Say whether a folder of this name can be a task's."""
    return _TASK_ID.fullmatch(name) is not None


def make_private(folder: Path) -> None:
    """Make a folder of the service's own, and those above it, unless they are there."""
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)


def check_folders(*folders: Path) -> None:
    """Make sure that each is what the service made: a folder, and no link that leads elsewhere.

    Raises `ChangeRefused`: only what ran in the workspace can have taken it away.
    """
    for folder in folders:
        if folder.is_symlink() or not folder.is_dir():
            raise ChangeRefused(
                f"The agent removed or replaced the folder {folder.name} of its own workspace.",
                hint="Nothing of its work can be taken over; submit the task again.",
                remedy="",
            )


def delete_folder(folder: Path) -> None:
    """Delete a folder with all that is in it; fine when it is not there.

    Links are removed, never followed; folders that forbid it are opened up first. Nothing of the
    task may run any more. `rm` gets to any depth: `shutil.rmtree` calls itself for every level up
    to Python 3.12, and fails at the thousandth. Raises `WorkspaceError`.
    """
    if not os.path.lexists(folder) or _run("/bin/rm", "-rf", on=folder) is None:
        return
    _run("/bin/chmod", "-R", "u+rwx", on=folder)
    reason = _run("/bin/rm", "-rf", on=folder)
    if reason is not None:
        raise WorkspaceError(f"{folder} cannot be removed: {reason}")


@contextmanager
def disk_errors(place: Path | str) -> Iterator[None]:
    """Translate what the disk says: `DiskFull`, or `WorkspaceError` for everything else.

    `place` is what is named where the error names no file.
    """
    try:
        yield
    except OSError as exc:
        if is_full(exc):
            raise DiskFull(exc.filename or place) from exc
        raise WorkspaceError(
            f"{exc.filename or place} cannot be used: {exc.strerror or exc}.",
            hint="Check the owner and the permissions of CODEBOT_WORK_DIR and CODEBOT_DATA_DIR.",
        ) from exc


def _run(*command: str, on: Path) -> str | None:
    """Run a program of the system on a folder; give its last words if it failed."""
    ended = subprocess.run(  # noqa: S603 - no shell, and a folder of our own
        (*command, "--", on),
        env={"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    said = ended.stderr.decode(errors="replace").strip()
    return None if ended.returncode == 0 else said[-LONGEST_REASON:]
