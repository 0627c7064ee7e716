"""What the index of a checkout holds."""

from pathlib import Path

from codebot.git.git import Git
from codebot.workspace.listings import StagedFile, read_staged_files

MOST_NAMES = 256 * 1024**2
"""Bytes of the names of all files: those of two million."""


async def list_staged(git: Git, tree: Path, own: Path | None = None) -> list[StagedFile]:
    """Give the files of `tree`, a checkout that nobody has touched; `own` is its `.git`."""
    listed = await git.run(
        *("ls-files", "--stage", "-z"),
        cwd=own or tree / ".git",
        work_tree=tree,
        max_output=MOST_NAMES,
    )
    return list(read_staged_files(listed.stdout))
