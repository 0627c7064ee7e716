"""Where the Git of a folder is: in it, or where a file called `.git` says.

Linked worktrees and submodules have such a file; a linked worktree's Git shares the objects and
branches of another one. https://git-scm.com/docs/gitrepository-layout
"""

import os
import stat
from pathlib import Path

_LONGEST_FILE = 4096
_LEADS = "gitdir: "


def find_git_folders(folder: Path) -> tuple[Path, ...]:
    """Give every folder that git reads as part of a repository, () where there is none.

    That is `folder` itself for a bare one, its `.git`, or the folders that its `.git`, as a file or
    a link, leads to, which may be anywhere. A link in place of any other part does not count.
    """
    inner = folder / ".git"
    mode = _mode(inner)
    if stat.S_ISREG(mode):
        return _find_linked(folder, inner)
    if stat.S_ISLNK(mode):
        own = resolved(inner)
        return (own,) if own is not None and _is_git(own, shared=own) else ()
    own = inner if stat.S_ISDIR(mode) else folder
    return (own,) if _is_git(own, shared=own) else ()


def resolved(path: Path) -> Path | None:
    """Follow every symbolic link; None for what is not there, not readable, or a loop."""
    try:
        found = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None
    return found if str(found).isprintable() else None


def _find_linked(folder: Path, file: Path) -> tuple[Path, ...]:
    """Follow a `.git` file, and from there the way to what is shared."""
    lead = _read_line(file)
    own = resolved(folder / lead.removeprefix(_LEADS)) if lead.startswith(_LEADS) else None
    if own is None:
        return ()
    to_shared = _read_line(own / "commondir")
    shared = resolved(own / to_shared) if to_shared else own
    if shared is None or not _is_git(own, shared=shared):
        return ()
    return tuple(dict.fromkeys((own, shared)))


def _is_git(own: Path, *, shared: Path) -> bool:
    return stat.S_ISREG(_mode(own / "HEAD")) and all(
        stat.S_ISDIR(_mode(shared / part)) for part in ("objects", "refs")
    )


def _read_line(file: Path) -> str:
    """Give the first line of a small file; "" for anything else."""
    if not stat.S_ISREG(_mode(file)):
        return ""
    try:
        with file.open("rb") as opened:
            return os.fsdecode(opened.read(_LONGEST_FILE).partition(b"\n")[0])
    except OSError:
        return ""


def _mode(path: Path) -> int:
    """Say what stands at `path` itself, links not followed; 0 for nothing or no access."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
