"""Files that Git LFS keeps, put where their pointers are.

The objects are fetched here, by what a commit's pointers name, with the forge's credential; what a
repository says about servers (`.lfsconfig`) is not followed. Git puts them in place with a filter
of ours that can do no more than read a folder. Git LFS itself runs in boxes alone: there it finds
the same objects, since it looks where a repository borrows from, and no server.
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from codebot.domain.outcome import Gap, LargeObject
from codebot.domain.ports import Sandbox
from codebot.domain.repository import RemoteAccess
from codebot.git.config_text import as_config
from codebot.git.environment import Setting
from codebot.git.git import Git
from codebot.lfs.objects import ObjectStore
from codebot.lfs.pointers import LONGEST_POINTER, read_pointer
from codebot.lfs.transfers import LargeFileTransfers
from codebot.workspace.filters import why_pointer
from codebot.workspace.folders import disk_errors
from codebot.workspace.limits import Limits
from codebot.workspace.listings import EXACT, StagedFile
from codebot.workspace.new_objects import NewObject, read_contents

PROGRAM = "git-lfs"
MEBIBYTE = 1024 * 1024

SMUDGE = (
    'while IFS= read -r line; do case $line in "oid sha256:"*) oid=${{line#oid sha256:}} ;; esac;'
    ' done; rest=${{oid#??}}; cat -- {store}/"${{oid%"$rest"}}/${{rest%"${{rest#??}}"}}/$oid"'
)
"""Gives the content behind a pointer that is known to be there."""

_NO_CLEAN = (("filter.lfs.clean", "cat"), ("filter.lfs.required", "true"))
"""What is as young as its index git reads again; in a box it does so with Git LFS."""

Access = Callable[[], Awaitable[RemoteAccess]]


@dataclass(frozen=True, slots=True)
class LargeFiles:
    """Brings what Git LFS keeps for trees of which a mirror has the commits."""

    git: Git
    transfers: LargeFileTransfers
    limits: Limits

    async def fill(
        self, tree: Path, files: Sequence[StagedFile], *, mirror: Path, access: Access
    ) -> list[Gap]:
        """Put the contents of `files`, those under LFS, into a checkout that nobody has touched.

        What stays a pointer is told. The objects stay in the mirror, for all who come later. Raises
        `CloneFailed` when the network is at fault, so that the whole is tried again.
        """
        own, store = tree / ".git", ObjectStore.of(mirror)
        by_id = await read_pointers(self.git, own, {file.object_id for file in files})
        wanted = {file.path: by_id[file.object_id] for file in files if file.object_id in by_id}
        reasons = self._too_large(wanted.values())
        missing = [one for one in dict.fromkeys(wanted.values()) if one not in reasons]
        missing = [one for one in missing if not store.has(one)]
        if missing:
            with disk_errors(tree):
                reasons |= await self.transfers.bring(missing, await access(), store)
        await self._put_in_place(
            tree, [p for p, one in wanted.items() if one not in reasons], store
        )
        return [*await self._tell_of_another_server(own), *_gaps(wanted, reasons)]

    def _too_large(self, objects: Iterable[LargeObject]) -> dict[LargeObject, str]:
        """Say of some objects that there is no room for them; the first ones come first."""
        reasons: dict[LargeObject, str] = {}
        room = self.limits.max_large_total_bytes
        for one in dict.fromkeys(objects):
            if one.size > self.limits.max_large_bytes:
                reasons[one] = f"it is larger than {self.limits.max_large_bytes // MEBIBYTE} MiB"
            elif one.size > room:
                most = self.limits.max_large_total_bytes // MEBIBYTE
                reasons[one] = f"there are more than {most} MiB in all"
            else:
                room -= one.size
        return reasons

    async def _put_in_place(self, tree: Path, paths: Sequence[str], store: ObjectStore) -> None:
        """Check files out anew, with their contents: for git they are as committed."""
        if not paths:
            return
        with disk_errors(tree):
            for path in paths:
                (tree / path).unlink()
        smudge = SMUDGE.format(store=_quoted(store.folder))
        await self.git.run(
            *("checkout-index", "--index", "-z", "--stdin"),
            cwd=tree / ".git",
            work_tree=tree,
            stdin="\0".join(paths).encode(errors=EXACT),
            settings=(("filter.lfs.smudge", smudge), *_NO_CLEAN),
            timeout=self.limits.fetch_timeout,
        )

    async def _tell_of_another_server(self, own: Path) -> list[Gap]:
        told = await self.git.run(
            *(
                "config",
                "-z",
                "--blob",
                ":.lfsconfig",
                "--get-regexp",
                r"^(lfs|remote\..*)\..*url$",
            ),
            cwd=own,
            check=False,
        )
        if not told.stdout:
            return []
        return [Gap(".lfsconfig", "names a server; only the forge's own is asked for large files")]


def settings_for(sandbox: Sandbox, mirror: Path) -> tuple[Setting, ...]:
    """Give what has git in a box use Git LFS; nothing where boxes do not find it.

    The only server that it knows is the mirror, which can but be read. What is not there stays a
    pointer.
    """
    if not sandbox.has(PROGRAM):
        return ()
    return (
        ("filter.lfs.clean", "git-lfs clean -- %f"),
        ("filter.lfs.smudge", "git-lfs smudge -- %f"),
        ("filter.lfs.process", "git-lfs filter-process"),
        ("filter.lfs.required", "true"),
        ("lfs.url", f"file://{quote(str(mirror))}"),
        ("lfs.skipdownloaderrors", "true"),
        ("lfs.locksverify", "false"),
    )


def let_git_lfs_run(sandbox: Sandbox, home: Path, mirror: Path) -> None:
    """Write these settings to a HOME that no box has seen, as `git lfs install` does."""
    settings = settings_for(sandbox, mirror)
    if settings:
        (home / ".gitconfig").write_text(as_config(settings))


async def read_pointers(git: Git, repository: Path, ids: Iterable[str]) -> dict[str, LargeObject]:
    """Give what each of some files names, by its id; those that are no pointers are left out."""
    asked = "".join(f"{id_}\n" for id_ in sorted(ids)).encode()
    sizes = await git.run(
        "cat-file", "--batch-check=%(objectname) %(objectsize)", cwd=repository, stdin=asked
    )
    pairs = [line.split() for line in sizes.stdout.splitlines()]
    return await pointers_among(
        git, repository, [NewObject(id_, int(size), b"") for id_, size in pairs]
    )


async def pointers_among(
    git: Git, repository: Path, objects: Iterable[NewObject]
) -> dict[str, LargeObject]:
    """Give what those of the objects name that are pointers, by their ids."""
    small = [one for one in objects if 0 < one.size < LONGEST_POINTER]
    found: dict[str, LargeObject] = {}
    async for contents in read_contents(git, repository, small):
        for one, kind, content in contents.each():
            named = read_pointer(content) if kind == b"blob" else None
            if named is not None:
                found[one.id.decode()] = named
    return found


def _gaps(wanted: Mapping[str, LargeObject], reasons: Mapping[LargeObject, str]) -> list[Gap]:
    """Give one gap for each reason: it names the first file, and counts the others."""
    by_reason: dict[str, list[str]] = {}
    for path, one in wanted.items():
        if one in reasons:
            by_reason.setdefault(reasons[one], []).append(path)
    return [
        Gap(paths[0], f"{why_pointer(len(paths) - 1)}: {reason}")
        for reason, paths in sorted(by_reason.items())
    ]


def _quoted(path: Path) -> str:
    """Write a path for a shell, in a setting in which git replaces what follows a percent sign."""
    return shlex.quote(str(path)).replace("%", "%%")
