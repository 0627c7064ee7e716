"""Step `prepare`: from a repository's name to a clean tree, with as little waiting as there can be.

Asking the remote what is new takes as long as checking out (36 and 30 ms for 236 files on one
machine, ten times as long as that over the world), so both go on at once: the tree is filled with
what the mirror knows already, and moved on in the rare case that there was news. With templates
there is nothing to fill but on the first task of a commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from codebot.domain.outcome import Checkout, Gap
from codebot.domain.ports import Forge
from codebot.domain.repository import Repository
from codebot.domain.task import TaskId
from codebot.errors import BranchMissing, CloneFailed, GitFailed
from codebot.git.git import Git
from codebot.workspace.at_once import at_once
from codebot.workspace.checkout import check_out, make_repositories, share_boundary
from codebot.workspace.filters import LFS, list_filtered, tell_filtered
from codebot.workspace.folders import TaskFolders
from codebot.workspace.kept_submodules import keep_submodules
from codebot.workspace.large_files import LargeFiles
from codebot.workspace.listings import StagedFile
from codebot.workspace.mirror import Mirrors
from codebot.workspace.refs import bring_refs
from codebot.workspace.staged import list_staged
from codebot.workspace.standing import Standing
from codebot.workspace.submodules import FindSource, Submodules

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Preparation:
    """Prepares one task; `folders` may not be there yet. `work_branch` is what will be pushed.

    `find_source` says which repository a submodule's address means, None that none is wanted;
    `large_files` brings what Git LFS keeps, None where boxes do not have it. Without `standing` the
    tree is a checkout of its own, and stands on nothing.
    """

    git: Git
    mirrors: Mirrors
    folders: TaskFolders
    task_id: TaskId
    repository: Repository
    forge: Forge
    work_branch: str
    find_source: FindSource | None = None
    standing: Standing | None = None
    large_files: LargeFiles | None = None

    async def prepare(self, base_branch: str | None, at: str | None = None) -> Checkout:
        """Give the tree at the tip of its base branch, which the forge names if nobody did.

        With `at` it is at that commit instead.
        """
        self.folders.make()
        async with at_once() as group:
            refreshing = group.create_task(self._refresh())
            beginning = group.create_task(self._begin(base_branch))
        failure, (branch, known) = refreshing.result(), beginning.result()
        mirror = self.mirrors.path(self.repository)
        if failure is not None:
            await self._refresh_branch(branch, failure)
        async with at_once() as group:  # both only read
            finding = group.create_task(self._find_tip(mirror, branch))
            group.create_task(self.mirrors.check_room(mirror, self.work_branch))
        commit = at or finding.result()
        share_boundary(mirror, self.folders.tree / ".git", self.folders.repository)
        async with at_once() as group:
            group.create_task(self.mirrors.keep(mirror, self.task_id, commit))
            own = self.folders.tree / ".git"
            group.create_task(bring_refs(self.git, mirror, own, branch=branch, base=commit))
            filling = group.create_task(self._fill(mirror, branch, commit, before=known))
        layers = filling.result()
        files = next(iter(layers), self.folders.tree)
        submodules = Submodules(self.git, self.mirrors, self.forge, self.find_source)
        staged = await list_staged(self.git, files)
        async with at_once() as group:
            filtering = group.create_task(self._fill_filtered(files, staged, mirror))
            group.create_task(submodules.fill(files, self.repository, commit, staged))
        await keep_submodules(self.folders, submodules.paths)
        return Checkout(
            tree=self.folders.tree,
            home=self.folders.home,
            repository=self.folders.repository,
            mirror=mirror,
            base_branch=branch,
            base_commit=commit,
            submodules=tuple(sorted(submodules.paths)),
            gaps=(*sorted(submodules.gaps), *filtering.result()),
            layers=layers,
        )

    async def _fill_filtered(
        self, tree: Path, staged: Sequence[StagedFile], mirror: Path
    ) -> list[Gap]:
        """Bring what can be had of files that go through a filter; tell of the others."""
        filtered = await list_filtered(self.git, tree, staged)
        large = filtered.pop(LFS, []) if self.large_files else []
        gaps: list[Gap] = []
        if self.large_files and large:
            access = partial(self.forge.read_access, self.repository)
            gaps = await self.large_files.fill(tree, large, mirror=mirror, access=access)
        return [*gaps, *tell_filtered(filtered)]

    async def _refresh(self) -> CloneFailed | None:
        """Fetch all that is new; give the failure where a part of it may do."""
        try:
            await self.mirrors.refresh(self.repository, self.forge)
        except CloneFailed as failure:
            if not failure.in_part:
                raise
            return failure
        return None

    async def _refresh_branch(self, branch: str, failure: CloneFailed) -> None:
        """Fetch what the task needs of a repository that cannot be had whole, and tell of it."""
        await self.mirrors.refresh_branch(self.repository, self.forge, branch)
        await self.mirrors.check_room_there(self.repository, self.forge, self.work_branch)
        log.warning(
            "repository.fetched_in_part",
            repository=self.repository.url,
            branch=branch,
            problem=failure.detail,
        )

    async def _begin(self, base_branch: str | None) -> tuple[str, str | None]:
        """Choose the branch and check out what is known of it; say which commit that is."""
        branch = base_branch or await self.forge.default_branch(self.repository)
        mirror = self.mirrors.path(self.repository)
        if self.standing is None:
            await make_repositories(self.git, self.folders, mirror=mirror, branch=branch)
        else:
            self.standing.begin()
        return branch, await self._check_out_known(mirror, branch)

    async def _check_out_known(self, mirror: Path, branch: str) -> str | None:
        """Check out what an existing mirror has; None when it has nothing (any more)."""
        try:
            known = await self.mirrors.known_tip(mirror, branch)
            if known is not None and self.standing is not None:
                await self.standing.make_ready(mirror, branch, known)
            elif known is not None:
                await self._check_out(known)
        except (GitFailed, CloneFailed):  # what is wrong with the mirror shows when it is fetched
            return None
        return known

    async def _fill(
        self, mirror: Path, branch: str, commit: str, *, before: str | None
    ) -> tuple[Path, ...]:
        """Have the tree at a commit, where it is not there yet; say what lies below it."""
        if self.standing is not None:
            return await self.standing.stand(mirror, branch, commit)
        if commit != before:
            await self._check_out(commit, before=before)
        return ()

    async def _check_out(self, commit: str, *, before: str | None = None) -> None:
        mirror = self.mirrors.path(self.repository)
        await self.mirrors.check_tree(mirror, commit, self.folders.repository)
        await check_out(self.git, self.folders, commit, before=before)

    async def _find_tip(self, mirror: Path, branch: str) -> str:
        """Find the base's commit; a branch that is missing is looked for once more.

        Git takes a page that a proxy answers with (200, HTML) for a repository without branches.
        """
        try:
            return await self.mirrors.tip(mirror, branch)
        except (BranchMissing, CloneFailed):
            await self.mirrors.refresh(self.repository, self.forge)
            return await self.mirrors.tip(mirror, branch)
