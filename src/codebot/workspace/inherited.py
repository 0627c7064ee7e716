"""Files that git itself reads, as the base of a task has them: whatever is in them is not new.

Git checks each `.gitattributes` and `.gitmodules` that a new tree names, also one that came with
the base and that it refuses today: lines of more than 2,048 bytes, an odd address of a submodule.
"""

from pathlib import Path

from codebot.git.git import Git

_READ_BY_GIT = (b".gitattributes", b".gitmodules")


async def list_inherited(git: Git, repository: Path, base: str) -> list[str]:
    """Give the ids of such files in the tree of a commit."""
    listed = await git.run("ls-tree", "-r", "-z", base, cwd=repository)
    records = (record.partition(b"\t") for record in listed.stdout.split(b"\0") if record)
    return [
        about.split()[2].decode()
        for about, _, path in records
        if path.rpartition(b"/")[2] in _READ_BY_GIT
    ]
