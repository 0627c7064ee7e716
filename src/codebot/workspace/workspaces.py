"""Workspaces: a clean tree for each task, and the agent's work out of it as commits of the bot."""

from pathlib import Path

from codebot.domain.outcome import Change, Checkout
from codebot.domain.ports import Forge, Sandbox
from codebot.domain.repository import Identity, Repository
from codebot.domain.task import TaskId
from codebot.git.git import Git
from codebot.workspace.limits import Limits


class Workspaces:
    """Makes, reads and removes the folders of tasks; `mirrors` and `work_dir` are its own."""

    def __init__(
        self, git: Git, sandbox: Sandbox, *, mirrors: Path, work_dir: Path, limits: Limits
    ) -> None:
        self._git = git
        self._sandbox = sandbox
        self._mirrors = mirrors
        self._work_dir = work_dir
        self._limits = limits

    async def prepare(
        self, task_id: TaskId, repository: Repository, base_branch: str | None, forge: Forge
    ) -> Checkout:
        """Give the task a clean tree at the tip of its base branch, made anew if there was one."""
        raise NotImplementedError

    async def collect(
        self, task_id: TaskId, checkout: Checkout, *, message: str, author: Identity
    ) -> Change:
        """Take the agent's work out of the tree, as commits of the bot."""
        raise NotImplementedError

    async def diff(self, checkout: Checkout, change: Change, max_bytes: int) -> str:
        """Give the change as a unified diff; cut at `max_bytes`, it says so."""
        raise NotImplementedError

    async def read_file(
        self, checkout: Checkout, commit: str, path: str, max_bytes: int
    ) -> bytes | None:
        """Give a file of a commit; None when it is missing, no regular file, or too large."""
        raise NotImplementedError

    async def list_files(
        self, checkout: Checkout, commit: str, *, top_level: bool = False
    ) -> list[str]:
        """Give the paths of a commit's files, in the order of the tree."""
        raise NotImplementedError

    async def remove(self, task_id: TaskId) -> None:
        """Delete all that the workspace of a task left; fine when there is nothing."""
        raise NotImplementedError

    def task_ids(self) -> set[TaskId]:
        """Say which tasks have a folder on this disk."""
        raise NotImplementedError
