"""Symbolic links that lead out of their tree: names only, nothing on a disk is asked.

To normalise a target is not enough: with `d -> .`, the link `a -> d/d/../..` looks harmless and
leads out. So a target is walked as a kernel walks it, through every other link of the same tree.
"""

from collections.abc import Mapping
from functools import lru_cache

MOST_NAMES = 256
"""Names walked on one way before it counts as endless; that bounds the work, too."""

_GIT_FOLDERS = frozenset({".git", "git~1"})
"""As a name it reads and writes the repository itself; the second is how NTFS may spell it."""


def why_it_leaves(path: str, links: Mapping[str, str]) -> str | None:
    """Say where the link at `path` leads to that is not in its tree; None when it stays.

    `links` are all links of the tree by their path. What is no link counts as a folder, whether it
    is there or not: a file in its place lets nobody through.

    >>> why_it_leaves("docs/a", {"docs/a": "../README.md"})
    >>> why_it_leaves("a", {"a": "d/d/../..", "d": "."})
    'out of the tree'
    """
    here = path.split("/")[:-1]
    ahead = list(_names(links[path]))
    for _ in range(MOST_NAMES):
        if not ahead:
            return None
        name = ahead.pop()
        target = links.get("/".join([*here, name]))
        if name == "/":
            return "to an absolute path"
        if name.casefold() in _GIT_FOLDERS:
            return "into .git"
        if name == ".." and not here:
            return "out of the tree"
        if name == "..":
            here.pop()
        elif target is None:
            here.append(name)
        else:
            ahead += _names(target)
    return "in circles"


def find_leaving(links: Mapping[str, str]) -> dict[str, str]:
    """Give every link that does not stay in its tree, and where it leads.

    >>> find_leaving({"logs": "/var/log", "current": "releases/1"})
    {'logs': 'to an absolute path'}
    """
    found = ((path, why_it_leaves(path, links)) for path in links)
    return {path: why for path, why in found if why is not None}


@lru_cache(maxsize=10_000)
def _names(target: str) -> tuple[str, ...]:
    """Give the names to walk, the first one last; "/" stands for the top of the machine.

    One name more than is ever walked is enough of a target.
    """
    names = [name for name in target.split("/") if name not in {"", "."}]
    start = ["/"] if target.startswith("/") else []
    return (*start, *names)[MOST_NAMES::-1]
