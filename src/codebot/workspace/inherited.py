"""Files that git itself reads, as the base of a task has them: whatever is in them is not new.

Git checks each `.gitattributes` and `.gitmodules` that a new tree names, also one that came with
the base and that it refuses today: lines of more than 2,048 bytes, an odd address of a submodule.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from codebot.errors import GitFailed
from codebot.git.git import Git
from codebot.workspace.folders import disk_errors

_SKIPPED = "inherited"

_READ_BY_GIT = (b".gitattributes", b".gitmodules")


async def index_strictly(
    git: Git, repository: Path, base: str, index: Callable[[str], Awaitable[None]]
) -> None:
    """Have `index` take objects in with the option it is given, by which git checks each of them.

    No `.git` or `..` in a tree, no hostile submodule. What git refuses in a file of the base is
    left alone, as long as it is the same file. Raises `GitFailed`.
    """
    try:
        await index("--strict")
    except GitFailed:
        inherited = await _list_inherited(git, repository, base)
        if not inherited:
            raise
        skipped = repository / _SKIPPED
        with disk_errors(skipped):
            skipped.write_text("".join(f"{name}\n" for name in inherited))
        await index(f"--strict=skiplist={_SKIPPED}")


async def _list_inherited(git: Git, repository: Path, base: str) -> list[str]:
    """Give the ids of such files in the tree of a commit."""
    listed = await git.run("ls-tree", "-r", "-z", base, cwd=repository)
    records = (record.partition(b"\t") for record in listed.stdout.split(b"\0") if record)
    return [
        about.split()[2].decode()
        for about, _, path in records
        if path.rpartition(b"/")[2] in _READ_BY_GIT
    ]
