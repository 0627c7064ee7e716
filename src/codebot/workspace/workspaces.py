"""Workspaces: a clean tree for each task, and the agent's work out of it as commits of the bot."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from codebot.domain.outcome import Change, Checkout
from codebot.domain.ports import Forge, Sandbox
from codebot.domain.repository import Identity, Repository
from codebot.domain.task import TaskId
from codebot.domain.tree import Tree
from codebot.errors import CodebotError, NothingChanged
from codebot.git.git import Git
from codebot.lfs.transfers import DIRECT, LargeFileTransfers
from codebot.telemetry.token_shapes import mask_tokens
from codebot.workspace import contents
from codebot.workspace.border import Border
from codebot.workspace.box_git import bundle_file, write_bundle
from codebot.workspace.checkout import mirror_of
from codebot.workspace.folders import (
    TaskFolders,
    check_folders,
    delete_folder,
    disk_errors,
    find_task_ids,
    folders_of,
)
from codebot.workspace.large_changes import LargeChanges
from codebot.workspace.large_files import PROGRAM, LargeFiles, let_git_lfs_run
from codebot.workspace.limits import Limits
from codebot.workspace.means import Means
from codebot.workspace.mirror import Mirrors
from codebot.workspace.parcel import pack_change, unpack_change
from codebot.workspace.prepare import Preparation
from codebot.workspace.shelf import Holds, Kept
from codebot.workspace.standing import Standing
from codebot.workspace.submodules import FindSource
from codebot.workspace.template import Templates


class Workspaces:
    """Makes, reads and removes the folders of tasks; `mirrors` and `work_dir` are its own.

    `means` say how a tree comes to be; all but a copy stand on `templates`.
    `holds_secret` says of some bytes whether a change must not carry them out; `tame` takes
    secrets, and what would act, out of the messages of its commits. `authority` gives pieces of the
    certificate that boxes trust, which no change may hold either. `find_source` says which
    repository a submodule's address means; without it, no submodule is brought. `transfers` bring
    large files, where boxes have Git LFS to work with them. `node` is this one's name among many.
    """

    def __init__(
        self,
        git: Git,
        sandbox: Sandbox,
        *,
        mirrors: Path,
        work_dir: Path,
        limits: Limits,
        holds_secret: Callable[[bytes], bool] = lambda _: False,
        tame: Callable[[str], str] = mask_tokens,
        authority: Callable[[], Sequence[bytes]] = tuple,
        find_source: FindSource | None = None,
        means: Means = Means.COPY,
        templates: Templates | None = None,
        holds: Holds | None = None,
        transfers: LargeFileTransfers = DIRECT,
        node: str = "",
    ) -> None:
        self._git = git
        self._sandbox = sandbox
        self._mirrors = Mirrors(git, mirrors, limits)
        self._work_dir = work_dir
        self._limits = limits
        self._holds_secret = holds_secret
        self._tame = tame
        self._authority = authority
        self._find_source = find_source
        runs_lfs = sandbox.has(PROGRAM)
        self._large_files = LargeFiles(git, transfers, limits) if runs_lfs else None
        self._means = means
        self.node = node
        self._templates = templates
        self.holds = Holds() if holds is None else holds
        self._turns: WeakValueDictionary[TaskId, asyncio.Lock] = WeakValueDictionary()

    async def prepare(
        self,
        task_id: TaskId,
        repository: Repository,
        base_branch: str | None,
        forge: Forge,
        *,
        work_branch: str,
        at: str | None = None,
    ) -> Checkout:
        """Give the task a clean tree at the tip of its base branch, made anew if there was one.

        With `at` it is at that commit, which was the tip before.
        Raises `CloneFailed` (with `retry_after` when the network was at fault), `BranchMissing`,
        `PushRejected` when there is no room for `work_branch`, `DiskFull`, and what the forge
        raises when it is asked for the default branch.
        """
        async with self._turn(task_id):
            checkout = await self._prepare(task_id, repository, base_branch, forge, work_branch, at)
            return replace(checkout, node=self.node)

    async def _prepare(
        self,
        task_id: TaskId,
        repository: Repository,
        base_branch: str | None,
        forge: Forge,
        work_branch: str,
        at: str | None,
    ) -> Checkout:
        await self._remove(task_id)
        folders = folders_of(self._work_dir, task_id)
        preparation = Preparation(
            *(self._git, self._mirrors, folders, task_id, repository, forge, work_branch),
            find_source=self._find_source,
            standing=self._standing(task_id, folders),
            large_files=self._large_files,
        )
        try:
            checkout = await preparation.prepare(base_branch, at)
            with disk_errors(checkout.home):
                let_git_lfs_run(self._sandbox, checkout.home, checkout.mirror)
        except CodebotError:
            await self._remove(task_id)
            raise
        return checkout

    def _standing(self, task_id: TaskId, folders: TaskFolders) -> Standing | None:
        """Say on what the tree of a task stands."""
        if self._templates is None or self._means is Means.COPY:
            return None
        on_hold = partial(self.holds.add, task_id)
        fills_large = self._large_files is not None
        return Standing(self._templates, self._means, folders, on_hold, fills_large)

    async def hold(self, task_id: TaskId, checkout: Checkout) -> None:
        """Have what lies below a task's tree stay until `release`; made again if it is gone.

        A run that goes on after a restart begins with it: whoever held it then is dead.
        """
        if self._templates is None or not checkout.layers:
            return
        if not self.holds.has(task_id, checkout.layers[-1].parent):
            tip = (checkout.mirror, checkout.base_branch, checkout.base_commit)
            self.holds.add(task_id, await self._templates.hold(*tip))

    def release(self, task_id: TaskId) -> None:
        """Let go of what lies below a task's tree; fine when nothing is held."""
        self.holds.release(task_id)

    async def collect(
        self, task_id: TaskId, checkout: Checkout, *, message: str, author: Identity
    ) -> Change:
        """Take the agent's work out of the tree, as commits of `author`.

        What is not committed yet goes under `message`; files that .gitignore names stay out, and
        what tools leave behind (`artefacts.sed`), also where the agent committed that. Raises
        `NothingChanged`, and `ChangeRefused` for what may not cross the border.
        """
        check_folders(checkout.tree, checkout.repository)
        with bundle_file(checkout) as bundle:
            left_out = await write_bundle(
                self._sandbox,
                task_id,
                checkout,
                message=message,
                limits=self._limits,
                bundle=bundle,
            )
            if not bundle.tell():
                raise NothingChanged("The agent made no changes.")
            border = Border(
                *(self._git, checkout, self._limits, self._holds_secret, self._tame),
                authority=self._authority,
                large=self._large_changes(task_id, checkout),
            )
            change = await border.take_in(bundle, author=author, message=message)
            return replace(change, left_out=left_out)

    def _large_changes(self, task_id: TaskId, checkout: Checkout) -> LargeChanges | None:
        if self._large_files is None:
            return None
        return LargeChanges(self._git, self._sandbox, task_id, checkout, self._limits)

    async def pack(self, checkout: Checkout, change: Change) -> bytes | None:
        """Give a collected change as another node takes it; None for one that is too large."""
        return await pack_change(self._git, checkout, change)

    async def unpack(self, checkout: Checkout, parcel: bytes) -> None:
        """Take in a change that another node has packed, at the same base."""
        await unpack_change(self._git, checkout, parcel)

    def kept_mirrors(self) -> list[Kept]:
        """Give the mirrors as what could be removed for room."""
        return self._mirrors.kept()

    async def diff(self, checkout: Checkout, tip_commit: str, max_bytes: int) -> str:
        """Give a change as a unified diff; cut at `max_bytes`, it says so."""
        return await contents.read_diff(
            self._git, checkout.repository, checkout.base_commit, tip_commit, max_bytes
        )

    async def read_tree(self, checkout: Checkout, commit: str) -> Tree:
        """Give all paths of a commit, and the contents of the files in its top folder."""
        return await contents.read_tree(self._git, checkout.repository, commit)

    async def read_texts(
        self, checkout: Checkout, commit: str, paths: Collection[str]
    ) -> Mapping[str, str]:
        """Give those of the named files that a commit has, as text."""
        return await contents.read_texts(self._git, checkout.repository, commit, paths)

    async def remove(self, task_id: TaskId) -> None:
        """Delete all that the workspace of a task left; fine when there is nothing."""
        async with self._turn(task_id):
            await self._remove(task_id)

    async def free(self, task_id: TaskId, is_unused: Callable[[], Awaitable[bool]]) -> None:
        """Do the same if nobody needs it: no run of the task can begin between look and deed."""
        async with self._turn(task_id):
            if await is_unused():
                await self._remove(task_id)

    def _turn(self, task_id: TaskId) -> asyncio.Lock:
        """Give the lock of a task's folders, which are made and removed by one at a time."""
        return self._turns.setdefault(task_id, asyncio.Lock())

    async def _remove(self, task_id: TaskId) -> None:
        self.release(task_id)
        folders = folders_of(self._work_dir, task_id)
        mirror = mirror_of(folders.repository)
        if mirror is not None:
            await self._mirrors.release(mirror, task_id)
        with disk_errors(folders.top):
            await asyncio.to_thread(delete_folder, folders.top)

    def task_ids(self) -> set[TaskId]:
        """Say which tasks have a folder on this disk."""
        return find_task_ids(self._work_dir)
