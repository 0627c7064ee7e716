"""What a task's own `.git` knows besides its branch, as a clone would.

Versions are read from tags: `git describe --tags`, setuptools-scm, versioneer, GoReleaser. And what
looks at a change alone compares with `origin/main`: diff-cover, Nx, Lerna, darker. There is no
remote of that name, only the base where it would be.
"""

import asyncio
import re
from pathlib import Path

from codebot.git.git import Git
from codebot.workspace.folders import disk_errors

_HEAD = b"# pack-refs with: sorted \n"
"""Git finds a name by halving then. https://git-scm.com/docs/git-pack-refs"""

_MISTAKEN = re.compile(
    rb"^[0-9a-f]+ refs/tags/(?:[A-Z_]*HEAD|[0-9a-f]{40}|[0-9a-f]{64})\n", re.MULTILINE
)
"""Tags that git takes for something else: it would not bundle HEAD beside a tag of that name."""


async def bring_refs(git: Git, mirror: Path, own: Path, *, branch: str, base: str) -> None:
    """Write the mirror's tags to the `.git` at `own`, and `base` as the origin's `branch`.

    No agent may have seen it yet. One file for all of them: 2,500 tags cost as much as one. They
    point at objects of the mirror.
    """
    tags = await git.run(
        "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/", cwd=mirror
    )
    there = f"{base} refs/remotes/origin/{branch}\n".encode()
    with disk_errors(own):
        await asyncio.to_thread(_write, own, _HEAD + there + _MISTAKEN.sub(b"", tags.stdout))


def _write(own: Path, refs: bytes) -> None:
    """Write beside and rename: git reads the file while it moves the branch."""
    new = own / "packed-refs.new"
    try:
        new.write_bytes(refs)
        new.rename(own / "packed-refs")
    except OSError:
        new.unlink(missing_ok=True)
        raise
