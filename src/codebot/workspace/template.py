"""Templates: a checkout of one commit that nobody changes, for every task that begins there.

A box writes above it (an overlay), or a task gets a copy that shares its blocks: a tree of any size
is ready in milliseconds. Only making it takes as long as a checkout.
"""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from codebot.git.git import Git
from codebot.workspace.checkout import check_out, make_repositories, share_boundary
from codebot.workspace.filters import LFS, list_filtered
from codebot.workspace.folders import PRIVATE, TaskFolders, disk_errors
from codebot.workspace.listings import GITLINK
from codebot.workspace.mirror import check_tree
from codebot.workspace.shelf import Hold, Shelf, about_of
from codebot.workspace.staged import list_staged

FORMAT = "2"
"""To be changed when a template of before would not do any more."""

INDEX_SETTINGS = """\
[core]
\tcheckStat = minimal
\ttrustctime = false
"""
"""Who owns a file, and its number, differ above a template: git would read every file again."""

SUBMODULES, LARGE_FILES = "submodules", "large files"

AGE = 2
"""Seconds that files are made older than the index that knows them. Git reads what is as young as
its index again and again (0.85 s for the first `add` in 2,087 files, 0.03 s with this); and what an
agent changes at once must not look as if it were of the same second."""


@dataclass(frozen=True, slots=True)
class Templates:
    """Makes templates, and keeps them on a shelf of their own."""

    git: Git
    shelf: Shelf

    async def hold(self, mirror: Path, branch: str, commit: str) -> Hold:
        """Give the template of a commit, checked out on this branch; made if there is none.

        Raises `CloneFailed` where no files should be made of the commit, `GitFailed`, `DiskFull`
        and `WorkspaceError`.
        """
        make = partial(self._make, mirror, branch, commit)
        return await self.shelf.hold(_name(mirror, branch, commit), make)

    async def _make(self, mirror: Path, branch: str, commit: str, top: Path) -> Mapping[str, str]:
        folders = TaskFolders(top)
        with disk_errors(folders.tree):
            for folder in (folders.tree, folders.repository):
                folder.mkdir(mode=PRIVATE)
        await make_repositories(self.git, folders, mirror=mirror, branch=branch)
        with disk_errors(folders.tree), (folders.tree / ".git" / "config").open("a") as config:
            config.write(INDEX_SETTINGS)
        share_boundary(mirror, folders.tree / ".git", folders.repository)
        await check_tree(self.git, mirror, commit, folders.repository)
        await check_out(self.git, folders, commit)
        staged = await list_staged(self.git, folders.tree)
        await self._age(folders.tree)
        filtered = await list_filtered(self.git, folders.tree, staged)
        return {
            "mirror": str(mirror),
            "branch": branch,
            "commit": commit,
            SUBMODULES: str(sum(file.mode == GITLINK for file in staged)),
            LARGE_FILES: str(len(filtered.get(LFS, ()))),
        }

    async def _age(self, tree: Path) -> None:
        """Make the files older than the index, and the index know it."""
        own = tree / ".git"
        with disk_errors(tree):
            await asyncio.to_thread(_make_older, tree, time.time() - AGE)
        refreshing = ("update-index", "-q", "--refresh")
        await self.git.run(*refreshing, cwd=own, work_tree=tree, check=False)


def has_submodules(template: Hold) -> bool:
    """Say whether a template has places for submodules, which are empty in it."""
    return _has(template, SUBMODULES)


def has_large_files(template: Hold) -> bool:
    """Say whether a template has pointers of Git LFS, or what should be one."""
    return _has(template, LARGE_FILES)


def _has(template: Hold, fact: str) -> bool:
    about = about_of(template.folder)
    return about is None or about.facts.get(fact) != "0"


def copy_repository(template: Path, folders: TaskFolders) -> None:
    """Give a task the template's bare repository as its own: it is a handful of small files."""
    with disk_errors(folders.tree):
        source = TaskFolders(template).repository
        shutil.copytree(source, folders.repository, symlinks=True, dirs_exist_ok=True)


def _make_older(tree: Path, then: float) -> None:
    """Set the time of all files in a tree, by way of its folders alone."""
    for place, folders, files, descriptor in os.fwalk(tree):
        if Path(place) == tree:
            folders.remove(".git")
        for name in (*files, *folders):  # some are links to folders
            os.utime(name, (then, then), dir_fd=descriptor, follow_symlinks=False)


def _name(mirror: Path, branch: str, commit: str) -> str:
    told = "\0".join((FORMAT, str(mirror), branch, commit))
    return hashlib.sha256(told.encode()).hexdigest()[:32]
