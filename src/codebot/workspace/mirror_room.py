"""Mirrors as what could be removed for room: where no task stands on one, it is fetched again."""

from functools import partial
from pathlib import Path

from codebot.workspace.file_lock import locked_file
from codebot.workspace.folders import delete_folder
from codebot.workspace.shelf import Kept, size_of

KEPT_REFS = "refs/codebot/keep"
"""Below it each task that has a workspace keeps its base."""


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
    packed = mirror / "packed-refs"
    return any((mirror / KEPT_REFS).glob("*")) or (
        packed.exists() and f" {KEPT_REFS}/" in packed.read_text(errors="replace")
    )
