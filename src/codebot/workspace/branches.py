"""The branches of a mirror: the one of a name, those that are near to it, those in its way.

A ref is looked up by its whole name. Git's patterns match what lies below a name, too
(`for-each-ref refs/heads/release` gives `release/2026.4`), and `rev-parse` goes on to tags and
remotes; `show-ref --verify` does neither. https://git-scm.com/docs/git-show-ref
Nor does a pattern with a backslash in it, which no name holds: it can only match as a pattern.
"""

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from codebot.domain.naming import OWN_BRANCHES, is_valid_branch
from codebot.domain.repository import RemoteAccess
from codebot.errors import BranchMissing, CloneFailed, GitFailed, PushRejected
from codebot.git.git import Git
from codebot.git.trouble import Trouble

MOST_NAMED = 5
"""Branches that are shown where a base branch is not there."""

MOST_COMPARED = 5_000
"""Names that are compared letter by letter: 0.2 s."""


async def find_branch(git: Git, repository: Path, branch: str) -> str | None:
    """Give the commit of the branch of this very name; None without one.

    Raises `GitFailed` when the repository is damaged.
    """
    found = await git.run(
        *("show-ref", "--verify", "--hash", "--", f"refs/heads/{branch}"),
        cwd=repository,
        check=False,
    )
    if found.trouble is Trouble.DAMAGED:
        raise GitFailed(f"{repository} is damaged: {found.words}")
    return found.text if found.code == 0 else None


async def require_branch(git: Git, repository: Path, branch: str) -> str:
    """Give the commit of a branch; raises `BranchMissing`, or `CloneFailed` without any branch."""
    known = await find_branch(git, repository, branch)
    if known is not None:
        return known
    names = await _branches(git, repository)
    if not names:
        raise CloneFailed(
            "Failed to clone repository: it is empty, or what it has is on no branch: there is no "
            "commit to start from.",
            hint="Push a first commit, or make a branch of what is there (`git branch main`), then "
            "retry.",
        )
    raise BranchMissing(
        f"The base branch {branch} does not exist in the repository.",
        hint=await asyncio.to_thread(_hint, branch, names),
    )


async def require_room(git: Git, repository: Path, branch: str) -> None:
    """Make sure that no branch keeps `branch` from being made: `u` does so for `u/codebot/x`.

    Git keeps a branch where a file could be, so that no other can lie below it. Raises
    `PushRejected`: the remote would say no, after everything that the work has cost.
    """
    exactly = [f"refs/heads/{name[:-1]}\\{name[-1]}" for name in _above(branch)]
    if not exactly:
        return
    listing = ("for-each-ref", "--count=1", "--format=%(refname:lstrip=2)")
    found = await git.run(*listing, *exactly, cwd=repository)
    if found.text:
        raise _in_the_way(found.text, branch)


async def require_room_there(git: Git, access: RemoteAccess, branch: str) -> None:
    """Make sure of the same by asking the remote; one that does not answer is not in the way."""
    above = _above(branch)
    wanted = (f"refs/heads/{name}" for name in above)
    listed = await git.run("ls-remote", "--", access.url, *wanted, access=access, check=False)
    there = {line.partition("\t")[2] for line in listed.text.split("\n")}
    for name in above:
        if f"refs/heads/{name}" in there:
            raise _in_the_way(name, branch)


def _above(branch: str) -> list[str]:
    """Give the names that a branch's own would be below, if they were branches."""
    parts = branch.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _in_the_way(name: str, branch: str) -> PushRejected:
    return PushRejected(
        f"The repository has a branch {name}, beside which Git can have no {branch}.",
        hint=f"Rename the branch {name} or delete it, then submit the task again.",
    )


def near_names(wanted: str, names: Sequence[str]) -> list[str]:
    """Give the names that may have been meant, the nearest first.

    >>> near_names("release", ["main", "release/2026.4", "Release"])
    ['Release', 'release/2026.4']
    >>> near_names("mian", ["main", "topic"])
    ['main']
    """
    folded = wanted.casefold()
    last = folded.rpartition("/")[2]
    alike = [name for name in names if name.casefold() == folded]
    below = [name for name in names if name.casefold().startswith(f"{folded}/")]
    ending = [name for name in names if name.casefold().rpartition("/")[2] == last]
    above = [name for name in names if folded.startswith(f"{name.casefold()}/")]
    close = get_close_matches(wanted, names[:MOST_COMPARED], n=MOST_NAMED)
    return list(dict.fromkeys([*alike, *below, *ending, *close, *above]))


async def _branches(git: Git, repository: Path) -> list[str]:
    listed = await git.run(
        "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/", cwd=repository
    )
    return listed.text.split("\n") if listed.text else []


def _hint(wanted: str, names: Sequence[str]) -> str:
    """Name some to start from; what other tasks pushed is theirs."""
    usable = [name for name in names if is_valid_branch(name) and not name.startswith(OWN_BRANCHES)]
    shown = ", ".join((near_names(wanted, usable) or usable)[:MOST_NAMED])
    return f"Name one that does{f', such as {shown}' if shown else ''}."
