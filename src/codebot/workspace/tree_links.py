"""The symbolic links of commits, read from the trusted repository."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from codebot.errors import ChangeRefused
from codebot.git.git import Git
from codebot.workspace.commits import Commit
from codebot.workspace.listings import EXACT, SYMLINK, Touch, read_tree_listing
from codebot.workspace.new_objects import NewObject, read_contents
from codebot.workspace.symlinks import find_leaving

MOST_TREES = 100
"""Different trees with other links than before: each is listed, in 5 to 20 ms."""

LONGEST_TARGET = 4096
"""Bytes; no system follows a longer one."""


async def find_new_leaving_links(
    git: Git, repository: Path, base: str, commits: Sequence[Commit], touches: Iterable[Touch]
) -> list[tuple[str, str, str]]:
    """Give the links that lead out of a commit's tree and did not so in `base`, of one tree.

    As (commit, path, where to). A commit that touches no link can still turn one, by bringing two
    lines together, so merges are looked at, too. Nothing is read where no link is touched.
    """
    changed = {touch.commit for touch in touches if touch.is_link}
    if not changed:
        return []
    looked_at = {c.tree: c.id for c in commits if c.id in changed or len(c.parents) > 1}
    if len(looked_at) > MOST_TREES:
        raise ChangeRefused(f"The agent changed symbolic links in {len(looked_at)} commits.")
    known = await _read_links(git, repository, base)
    allowed = await asyncio.to_thread(find_leaving, known)
    for commit in looked_at.values():
        links = await _read_links(git, repository, commit)
        leaving = await asyncio.to_thread(find_leaving, links)
        new = [path for path in leaving if path not in allowed or links[path] != known[path]]
        if new:
            return [(commit, path, leaving[path]) for path in new]
    return []


async def _read_links(git: Git, repository: Path, commit: str) -> Mapping[str, str]:
    """Give every link of a commit's tree with its target."""
    listed = await git.run("ls-tree", "-r", "-z", "-l", commit, cwd=repository)
    links = [
        NewObject(entry.object_id.encode(), entry.size or 0, entry.path.encode(errors=EXACT))
        for entry in read_tree_listing(listed.stdout, errors=EXACT)
        if entry.mode == SYMLINK
    ]
    if any(link.size > LONGEST_TARGET for link in links):
        raise ChangeRefused("The agent made a symbolic link with an endless target.")
    targets: dict[str, str] = {}
    async for some in read_contents(git, repository, links):
        for link, _, target in some.each():
            targets[link.path.decode(errors=EXACT)] = target.decode(errors=EXACT)
    return targets
