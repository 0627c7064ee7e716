"""Mirrors as what could be removed for room: where no task stands on one, it is fetched again.

A damaged one is replaced, and stays beside its successor while tasks stand on it: their boxes have
it before them, and what is whole in it is all that they have.
"""

import re
from functools import partial
from pathlib import Path
from uuid import uuid4

from codebot.workspace.file_lock import locked_file
from codebot.workspace.folders import delete_folder
from codebot.workspace.shelf import Kept, size_of

KEPT_REFS = "refs/codebot/keep"
"""Below it each task that has a workspace keeps its base."""

_PACKED = re.compile(rf"^([0-9a-f]+) {KEPT_REFS}/(\S+)$", re.MULTILINE)


def kept_mirrors(folder: Path) -> list[Kept]:
    """Give all mirrors below `folder`."""
    return [
        Kept(
            str(mirror.relative_to(folder)),
            size_of(mirror),
            mirror.stat().st_mtime,
            partial(_evict, mirror),
        )
        for mirror in folder.glob("*/*/*.git")
    ]


def _evict(mirror: Path) -> bool:
    """Remove a mirror that is not being fetched and that keeps no task's base."""
    with locked_file(mirror.with_suffix(".lock")) as is_ours:
        if not is_ours or _keeps_something(mirror):
            return False
        gone = mirror.with_suffix(".old")
        delete_folder(gone)
        mirror.rename(gone)
        delete_folder(gone)
        return True


def _keeps_something(mirror: Path) -> bool:
    return bool(bases_in(mirror))


def bases_in(mirror: Path) -> dict[str, str]:
    """Give the commit that a mirror keeps for each task, by its id; also of one that is damaged."""
    packed = mirror / "packed-refs"
    text = packed.read_text(errors="replace") if packed.exists() else ""
    loose = (mirror / KEPT_REFS).glob("*")
    return {task: commit for commit, task in _PACKED.findall(text)} | {
        file.name: file.read_text(errors="replace").strip() for file in loose
    }


def name_aside(mirror: Path) -> Path:
    """Give where a mirror goes that is replaced."""
    return mirror.with_suffix(f".old-{uuid4().hex}")


def remove_replaced(mirror: Path) -> None:
    """Remove what a mirror has replaced and no task stands on any more."""
    staying = bases_in(mirror).keys()
    for replaced in mirror.parent.glob(f"{mirror.stem}.old-*"):
        if not staying & bases_in(replaced).keys():
            delete_folder(replaced)
