"""Places: clean trees of a task beside the agent's own, for what the agent must have no part in.

A place is filled in its own box, from the service's repository and from the layer that a set-up
left: nothing that an agent did outside its commits can be in it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

from codebot.domain.box import ExitReason, Network
from codebot.domain.environment import Layer
from codebot.domain.outcome import Checkout
from codebot.domain.ports import Sandbox
from codebot.domain.task import TaskId
from codebot.errors import DiskFull, WorkspaceError
from codebot.git.environment import numbered
from codebot.git.git import Git
from codebot.git.trouble import Trouble, trouble_in
from codebot.sandbox.boxed import SUCCESS, Boxed, Ended
from codebot.workspace.as_committed import share_exceptions
from codebot.workspace.box_git import SETTINGS
from codebot.workspace.checkout import borrow_from, make_own_git, share_boundary
from codebot.workspace.folders import PRIVATE, delete_folder, disk_errors
from codebot.workspace.kept_submodules import kept_submodules
from codebot.workspace.large_files import let_git_lfs_run, settings_for
from codebot.workspace.overlay_marks import hides_what_is_below
from codebot.workspace.refs import bring_refs

FILL_TIMEOUT = timedelta(minutes=5)
MOST_LEFTOVERS = 10_000
"""Paths that a set-up may leave beside what the repository ignores: each is a pattern for git."""

ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
_ESCAPED = {letter: f"\\{letter}" for letter in "\\*?["} | dict.fromkeys("\n\r", "[[:cntrl:]]")


class CannotBeKept(Exception):
    """What a set-up left is no layer; the text completes "The set-up left ..."."""


@dataclass(frozen=True, slots=True)
class Places:
    """Makes and removes places; they lie below the task's own folder and go with it."""

    git: Git
    sandbox: Sandbox

    async def open(
        self, task_id: TaskId, checkout: Checkout, name: str, commit: str, layer: Layer | None
    ) -> Checkout:
        """Give a clean place at `commit`, with what `layer` holds; one of that name goes first.

        It has the submodules that the task's tree has. Raises `WorkspaceError` and `DiskFull`.
        """
        top = _top(checkout, name)
        await self.close(checkout, name)
        place = replace(checkout, tree=top / "tree", home=top / "home")
        with disk_errors(place.tree):
            for folder in (top, place.tree, place.home):
                folder.mkdir(mode=PRIVATE)
            let_git_lfs_run(self.sandbox, place.home, place.mirror)
        if layer is not None and layer.below:
            place, layer = layer.under(place), None
        await self._make_own_git(checkout, place)
        await self._fill(task_id, place, commit, layer)
        return place

    async def open_in(
        self,
        task_id: TaskId,
        checkout: Checkout,
        tree: Path,
        home: Path,
        layer: Layer | None = None,
    ) -> Checkout:
        """Give a clean place at the base in two empty folders, with a copy of what `layer` holds.

        It stands on nothing.
        """
        place = replace(checkout, tree=tree, home=home, layers=(), home_layers=())
        with disk_errors(place.tree):
            let_git_lfs_run(self.sandbox, place.home, place.mirror)
        await self._make_own_git(place, place)
        await self._fill(task_id, place, checkout.base_commit, layer)
        return place

    async def _fill(
        self, task_id: TaskId, place: Checkout, commit: str, layer: Layer | None
    ) -> None:
        """Fill a place with a commit, and its submodules as the task's tree had them at first."""
        modules = kept_submodules(place)
        await self._run(
            *(task_id, place, "place", commit, *_named(layer), str(modules or "")),
            read_only=(*_folders(layer), *filter(None, [modules])),
        )

    async def object_ids(
        self, checkout: Checkout, paths: Sequence[str], commit: str = ""
    ) -> tuple[tuple[str, str], ...]:
        """Give the object of each path that a commit (the base) has: another where it differs.

        A folder stands for all that is in it.
        """
        listed = await self.git.run(
            *("ls-tree", "-r", "-z", "--full-tree", commit or checkout.base_commit, "--", *paths),
            cwd=checkout.repository,
        )
        lines = listed.stdout.decode(errors="surrogateescape").split("\0")
        told = (line.partition("\t") for line in lines if line)
        return tuple((path, about.split(" ")[2]) for about, _, path in told)

    async def furnish(self, task_id: TaskId, checkout: Checkout, layer: Layer) -> None:
        """Put what `layer` holds into the workspace of an agent that has not begun.

        Of one that is laid below it, only what must be ignored is written there.
        """
        if layer.below and not layer.leftovers:
            return
        ignored = "".join(f"{as_pattern(path)}\n" for path in layer.leftovers)
        script, seen = ("exclude", None) if layer.below else ("layer", layer)
        await self._run(
            *(task_id, layer.under(checkout), script, *_named(seen)),
            read_only=_folders(seen),
            stdin=ignored.encode(errors="surrogateescape"),
        )

    async def put_at(self, task_id: TaskId, checkout: Checkout, commit: str) -> None:
        """Put the workspace of an agent that has not begun at a commit of the task's repository."""
        with disk_errors(checkout.tree):
            borrow_from(checkout.tree / ".git", checkout.mirror, checkout.repository)
        await self._run(task_id, checkout, "place", commit, "", "", "")

    async def _make_own_git(self, checkout: Checkout, place: Checkout) -> None:
        """Give a place a `.git` of its own: above that of a template, where it stands on one.

        It has what the task's own has: the refs, the end of a shallow history, and what git would
        rewrite by itself excepted.
        """
        own, lenders = place.tree / ".git", (checkout.mirror, checkout.repository)
        if checkout.layers:
            with disk_errors(place.tree):
                borrow_from(own, *lenders)
        else:
            await make_own_git(self.git, place.tree, checkout.base_branch, *lenders)
        share_boundary(checkout.mirror, own)
        share_exceptions(checkout.repository, own)
        branch, base = checkout.base_branch, checkout.base_commit
        await bring_refs(self.git, checkout.mirror, own, branch=branch, base=base)

    async def settle(self, task_id: TaskId, place: Checkout) -> Layer:
        """Make a layer of the place, which is one no longer; its folders stay where they are.

        What the set-up did to git's index, or committed, does not matter. Raises `CannotBeKept`:
        what cannot be listed would be taken for the agent's work, as would be what it hides.
        """
        inner_first = sorted(place.submodules, reverse=True)
        ended = await self._end(task_id, place, "settle", place.base_commit, *inner_first)
        if ended.exit != SUCCESS and not _is_full(ended):
            raise CannotBeKept(f"a tree that is no checkout any more: {_words(ended)}")
        _require_success("settle", ended, place)
        leftovers = read_leftovers(ended.tail)
        if ended.cut or len(leftovers) > MOST_LEFTOVERS:
            most = f"more than {MOST_LEFTOVERS:,} paths that .gitignore does not name"
            raise CannotBeKept(most)
        for folder in (place.tree, place.home):
            if await asyncio.to_thread(hides_what_is_below, folder):
                raise CannotBeKept("folders with marks of overlays, or that nobody may read")
        return Layer(place.tree, place.home, leftovers)

    async def close(self, checkout: Checkout, name: str) -> None:
        """Remove a place; fine when it is not there."""
        with disk_errors(checkout.tree):
            await asyncio.to_thread(delete_folder, _top(checkout, name))

    async def _run(
        self,
        task_id: TaskId,
        place: Checkout,
        script: str,
        *args: str,
        read_only: tuple[Path, ...] = (),
        stdin: bytes = b"",
    ) -> None:
        ended = await self._end(task_id, place, script, *args, read_only=read_only, stdin=stdin)
        _require_success(script, ended, place)

    async def _end(
        self,
        task_id: TaskId,
        place: Checkout,
        script: str,
        *args: str,
        read_only: tuple[Path, ...] = (),
        stdin: bytes = b"",
    ) -> Ended:
        """Run one of our scripts in a place, however it ends."""
        words = files("codebot.workspace").joinpath(f"{script}.sh").read_text()
        return await Boxed(self.sandbox, task_id, place).run(
            *("/bin/sh", "-c", words, script, *args),
            limit=FILL_TIMEOUT,
            network=Network.NONE,
            env=ENVIRONMENT | numbered((*SETTINGS, *settings_for(self.sandbox, place.mirror))),
            read_only=read_only,
            stdin=stdin,
        )


def as_pattern(path: str) -> str:
    r"""Give the line of .gitignore that means this one path; a line break in it is any control.

    >>> as_pattern("build/"), as_pattern("#odd [1].txt "), as_pattern("a\nb")
    ('/build/', '/#odd \\[1].txt\\ ', '/a[[:cntrl:]]b')
    """
    escaped = "".join(_ESCAPED.get(letter, letter) for letter in path)
    trailing = len(escaped) - len(escaped.rstrip(" "))
    return "/" + escaped[: len(escaped) - trailing] + "\\ " * trailing


def read_leftovers(listed: bytes) -> tuple[str, ...]:
    r"""Read what git lists.

    >>> read_leftovers(b"build/\0notes.txt\0")
    ('build/', 'notes.txt')
    """
    return tuple(filter(None, listed.decode(errors="surrogateescape").split("\0")))


def _top(checkout: Checkout, name: str) -> Path:
    return checkout.repository.parent / name


def _folders(layer: Layer | None) -> tuple[Path, ...]:
    return () if layer is None else (layer.tree, layer.home)


def _named(layer: Layer | None) -> tuple[str, str]:
    return ("", "") if layer is None else (str(layer.tree), str(layer.home))


def _require_success(script: str, ended: Ended, place: Checkout) -> None:
    """Raise `DiskFull` or `WorkspaceError` when a script failed."""
    if ended.exit == SUCCESS:
        return
    if _is_full(ended):
        raise DiskFull(place.tree)
    raise WorkspaceError(f"A place for the tests could not be made ({script}): {_words(ended)}")


def _is_full(ended: Ended) -> bool:
    return trouble_in(ended.stderr) is Trouble.DISK_FULL


def _words(ended: Ended) -> str:
    """Give what a script said of its failure, without what git only warned of."""
    if ended.exit.reason is ExitReason.DISK:
        return "it took more of the disk than CODEBOT_DISK_MB allows"
    lines = ended.stderr.strip().splitlines()
    said = "\n".join(line for line in lines if not line.startswith("warning: "))
    return said or f"it ended with {ended.exit.reason} {ended.exit.code}"
