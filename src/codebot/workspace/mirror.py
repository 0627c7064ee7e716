"""Mirrors: one bare repository per remote one, fetched once for everybody who waits for it.

Branches and tags are mirrored, as by `git clone`. `git clone --mirror` would take every ref of
every pull request as well, and with `--prune` delete the refs that keep the bases of live tasks.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import structlog

from codebot.domain.ports import Readable
from codebot.domain.repository import ForgeKind, RemoteAccess, Repository
from codebot.domain.task import TaskId
from codebot.git.git import Git, GitResult
from codebot.git.trouble import Trouble
from codebot.sandbox.locks import TOGETHER
from codebot.workspace.branches import find_branch, require_branch, require_room, require_room_there
from codebot.workspace.clone_errors import IN_PART, clone_failed
from codebot.workspace.fetching import WHOLE, Way, by_name, ways_to
from codebot.workspace.file_lock import file_lock
from codebot.workspace.folders import delete_folder, disk_errors, make_private
from codebot.workspace.limits import Limits
from codebot.workspace.mirror_room import (
    KEPT_REFS,
    bases_in,
    kept_mirrors,
    name_aside,
    remove_replaced,
)
from codebot.workspace.shelf import Kept
from codebot.workspace.single_flight import SingleFlight
from codebot.workspace.sound_tree import require_sound_tree

MOST_REPLACEMENTS = 2
"""A fetch is two calls, and GitHub may refuse either while it limits rates."""

_REFUSED = frozenset({Trouble.UNAUTHORIZED, Trouble.FORBIDDEN})
_MAY_PASS = frozenset({Trouble.UNREACHABLE, None})
"""None stands for words that git has for an answer cut short: a fetch may always be repeated."""


UNCHECKED = "unchecked"
"""A file in a mirror that has objects which no git has looked at."""

log = structlog.get_logger(__name__)

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Mirrors:
    """The mirrors below `folder`, which belongs to the service alone."""

    def __init__(self, git: Git, folder: Path, limits: Limits) -> None:
        self._git = git
        self._folder = folder.absolute()
        self._limits = limits
        self._flights: SingleFlight[None] = SingleFlight()

    def path(self, repository: Repository) -> Path:
        """Say where the mirror of a repository is; GitHub's names know no case."""
        parts = [repository.host, repository.owner, f"{repository.name}.git"]
        if repository.forge is ForgeKind.GITHUB:
            parts = [part.lower() for part in parts]
        return self._folder.joinpath(*(_UNSAFE.sub("_", part) for part in parts))

    async def refresh(self, repository: Repository, forge: Readable) -> Path:
        """Give the mirror with the remote's branches and tags as they are now, new or old.

        Callers that arrive during a fetch share it. Raises `CloneFailed`, with `retry_after`
        when the network was at fault and `in_part` where `refresh_branch` may still do, `DiskFull`,
        and what the forge raises.
        """
        return await self._refresh("", repository, forge, (WHOLE,))

    async def refresh_branch(self, repository: Repository, forge: Readable, branch: str) -> Path:
        """Give the mirror with one branch as it is now, whatever is wrong with the others.

        Raises as `refresh` does, and `BranchMissing`.
        """
        return await self._refresh(branch, repository, forge, ways_to(branch))

    async def known_tip(self, mirror: Path, branch: str) -> str | None:
        """Give the commit of a branch as of the last fetch; None without one, or without a mirror.

        Raises `GitFailed` when the mirror is damaged.
        """
        return await find_branch(self._git, mirror, branch) if _is_there(mirror) else None

    async def tip(self, mirror: Path, branch: str) -> str:
        """Give the commit of a branch; raises `BranchMissing`, or `CloneFailed` without any."""
        return await require_branch(self._git, mirror, branch)

    async def check_room(self, mirror: Path, branch: str) -> None:
        """Raise `PushRejected` when another branch keeps the remote from taking `branch`."""
        await require_room(self._git, mirror, branch)

    async def check_room_there(self, repository: Repository, forge: Readable, branch: str) -> None:
        """Raise the same, for a mirror that has not all branches."""
        await require_room_there(self._git, await forge.read_access(repository), branch)

    def is_checked(self, mirror: Path) -> bool:
        """Say whether git has looked at each object of a mirror as it came."""
        return not (mirror / UNCHECKED).exists()

    async def check_tree(self, mirror: Path, commit: str, borrower: Path) -> None:
        """Raise `CloneFailed` for a commit whose files no checkout should be made of.

        There is nothing to do where each object was checked as it came. `borrower` is a repository
        that borrows from the mirror.
        """
        await check_tree(self._git, mirror, commit, borrower)

    async def bring_commit(self, repository: Repository, forge: Readable, commit: str) -> bool:
        """Say whether the mirror has a commit; one that no branch leads to is asked for by name."""
        mirror = self.path(repository)
        if await self._has(mirror, commit):
            return True
        access = await forge.read_access(repository)
        with disk_errors(mirror):
            async with file_lock(mirror.with_suffix(".lock")):
                await self._fetch_with(by_name(commit), access, mirror)
        return await self._has(mirror, commit)

    async def _has(self, mirror: Path, commit: str) -> bool:
        asked = await self._git.run(
            "cat-file", "-e", f"{commit}^{{commit}}", cwd=mirror, check=False
        )
        return asked.code == 0

    async def keep(self, mirror: Path, task_id: TaskId, commit: str) -> None:
        """Pin the base of a task, so that it outlives its branch."""
        async with _writing_refs(mirror):
            await self._git.run("update-ref", _keep_ref(task_id), commit, cwd=mirror)

    async def release(self, mirror: Path, task_id: TaskId) -> None:
        """Unpin the base of a task; fine when it is not pinned."""
        if _is_there(mirror):
            async with _writing_refs(mirror):
                await self._git.run("update-ref", "-d", _keep_ref(task_id), cwd=mirror)
            await asyncio.to_thread(remove_replaced, mirror)

    def kept(self) -> list[Kept]:
        """Give all mirrors as what could be removed for room: one that no task stands on."""
        return kept_mirrors(self._folder)

    async def _refresh(
        self, branch: str, repository: Repository, forge: Readable, ways: Sequence[Way]
    ) -> Path:
        mirror = self.path(repository)
        work = partial(self._fetch_by, ways, mirror, repository, forge)
        await self._flights.join(f"{mirror} {branch}", work)
        return mirror

    async def _fetch_by(
        self, ways: Sequence[Way], mirror: Path, repository: Repository, forge: Readable
    ) -> None:
        """Fetch by the first way that works, alone on the mirror."""
        with disk_errors(mirror):
            make_private(self._folder)
            make_private(mirror.parent)
            async with file_lock(mirror.with_suffix(".lock")):
                fetched = await self._fetch_in_turn(ways, mirror, repository, forge)
        if fetched.code != 0:
            raise clone_failed(repository, fetched)
        with disk_errors(mirror):
            os.utime(mirror)  # when it was last used

    async def _fetch_in_turn(
        self, ways: Sequence[Way], mirror: Path, repository: Repository, forge: Readable
    ) -> GitResult:
        """Give what became of the first way that worked, or of the last that made sense."""
        for way in ways[:-1]:
            fetched = await self._fetch_or_clone(way, mirror, repository, forge)
            if fetched.code == 0 or fetched.trouble not in IN_PART:
                return fetched
        return await self._fetch_or_clone(ways[-1], mirror, repository, forge)

    async def _fetch_or_clone(
        self, way: Way, mirror: Path, repository: Repository, forge: Readable
    ) -> GitResult:
        if _is_there(mirror):
            await asyncio.to_thread(_remove_leftovers, mirror)
            fetched = await self._fetch(way, mirror, repository, forge)
            if fetched.trouble is Trouble.LOCKED:
                await _remove_locks(mirror)
                fetched = await self._fetch(way, mirror, repository, forge)
            if fetched.trouble is not Trouble.DAMAGED:
                return fetched
        return await self._clone(way, mirror, repository, forge)

    async def _clone(
        self, way: Way, mirror: Path, repository: Repository, forge: Readable
    ) -> GitResult:
        """Fetch into a folder beside and rename it: a mirror is there whole, or not at all."""
        new = mirror.with_suffix(".new")
        await asyncio.to_thread(delete_folder, new)
        try:
            make_private(new)
            with disk_errors(new):
                await self._git.init(new)
            fetched = await self._fetch(way, new, repository, forge)
            if fetched.code == 0:
                await self._git.run("pack-refs", "--all", cwd=new)  # a file for each is slow
                async with file_lock(mirror.with_suffix(".refs")):  # nobody pins a base meanwhile
                    await self._keep_bases(mirror, new)
                    await asyncio.to_thread(_put_in_place, new, mirror)
        finally:  # half a repository must not keep a full disk full
            await asyncio.to_thread(delete_folder, new)
        return fetched

    async def _keep_bases(self, old: Path, new: Path) -> None:
        """Keep in a new mirror what tasks stand on that began with the old one."""
        for task_id, commit in (await asyncio.to_thread(bases_in, old)).items():
            if not await self._has(new, commit):  # its branch is gone from the remote
                pack = str(new / "objects" / "pack" / "pack")
                stdin = f"{commit}\n".encode()
                asked = ("pack-objects", "--quiet", "--revs", pack)
                await self._git.run(*asked, cwd=old, stdin=stdin, check=False)
            ref = _keep_ref(TaskId(task_id))
            kept = await self._git.run("update-ref", ref, commit, cwd=new, check=False)
            if kept.code != 0:
                log.warning("mirror.base_lost", task_id=task_id, commit=commit)

    async def _fetch(
        self, way: Way, mirror: Path, repository: Repository, forge: Readable
    ) -> GitResult:
        """Fetch; what may pass is tried again soon, a token that is refused is replaced."""
        pauses, replacements = iter(self._limits.fetch_pauses), MOST_REPLACEMENTS
        while True:
            fetched = await self._fetch_with(way, await forge.read_access(repository), mirror)
            if fetched.code == 0:
                return fetched
            if fetched.trouble in _REFUSED and replacements:
                replacements -= 1
                await forge.forget_access(repository)
            elif fetched.trouble in _MAY_PASS and (pause := next(pauses, None)):
                await asyncio.sleep(pause)
            else:
                return fetched

    async def _fetch_with(self, way: Way, access: RemoteAccess, mirror: Path) -> GitResult:
        if not way.is_checked:
            (mirror / UNCHECKED).touch()
        return await self._git.run(
            *("fetch", "--quiet", "--no-write-fetch-head", "--update-shallow", *way.options),
            *("--", access.url, *way.refspecs),
            cwd=mirror,
            access=access,
            settings=way.settings,
            timeout=self._limits.fetch_timeout,
            check=False,
        )


async def check_tree(git: Git, mirror: Path, commit: str, borrower: Path) -> None:
    """Raise `CloneFailed` for a commit whose files no checkout should be made of."""
    if (mirror / UNCHECKED).exists():
        await require_sound_tree(git, mirror, commit, borrower)


def _keep_ref(task_id: TaskId) -> str:
    return f"{KEPT_REFS}/{task_id}"


def _is_there(mirror: Path) -> bool:
    return mirror.is_dir()


def _remove_leftovers(mirror: Path) -> None:
    """Remove the packs that a killed fetch began: nobody else writes any here."""
    for leftover in (mirror / "objects" / "pack").glob("tmp_*"):
        leftover.unlink()


def _writing_refs(mirror: Path) -> AbstractAsyncContextManager[None]:
    """Have it known that a git of ours writes refs beside the one that fetches."""
    return file_lock(mirror.with_suffix(".refs"), TOGETHER)


async def _remove_locks(mirror: Path) -> None:
    """Remove what killed gits left locked, once no other of ours writes there.

    A mirror that is made anew for it would be taken away from the tasks that stand on it.
    """
    async with file_lock(mirror.with_suffix(".refs")):
        removed = await asyncio.to_thread(_remove_each, mirror)
    log.warning("mirror.unlocked", locks=removed)


def _remove_each(mirror: Path) -> list[str]:
    locks = [*mirror.glob("*.lock"), *(mirror / "refs").rglob("*.lock")]
    for lock in locks:
        lock.unlink(missing_ok=True)
    return list(map(str, locks))


def _put_in_place(new: Path, mirror: Path) -> None:
    """Rename the new mirror; a damaged one goes aside. In between there is none, never half."""
    if mirror.is_dir():
        large = mirror / "lfs"
        if large.is_dir():  # large files were checked one by one: nothing is wrong there
            shutil.copytree(large, new / "lfs", copy_function=os.link)
        mirror.rename(name_aside(mirror))
    new.rename(mirror)
    remove_replaced(mirror)
