"""Filters that a repository's attributes ask for, and that are not run here.

Where `.gitattributes` gives a path a filter, what is committed is what the filter's program made of
the file: a pointer to a large file, something encrypted. Nobody here runs that program (but Git LFS
where it is installed: `large_files.py`), so an agent's file would go out as it is: the plaintext of
a secret, a binary in the place of a pointer, and git would say nothing.
https://git-scm.com/docs/gitattributes#_filter
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from codebot.domain.outcome import Gap
from codebot.git.git import Git
from codebot.workspace.listings import (
    EXACT,
    REGULAR,
    StagedFile,
    Touch,
    is_attributes,
    read_attributes,
    read_tree_listing,
)
from codebot.workspace.new_objects import list_new_objects

_ASK_FILTER = ("check-attr", "--cached", "-z", "--stdin", "filter")
LFS = "lfs"
"""The name of the one filter that can be run here (`large_files.py`)."""

_UNUSUAL = re.compile(r"[^A-Za-z0-9._+-]")
_NO_FILTER = frozenset({"unspecified", "unset"})


async def list_filtered(
    git: Git, tree: Path, staged: Iterable[StagedFile]
) -> dict[str, list[StagedFile]]:
    """Give the files of `tree`, a checkout that nobody has touched, by the filter that each has."""
    own = tree / ".git"
    files = {one.path: one for one in staged if one.mode in REGULAR}
    if not any(map(is_attributes, files)):
        return {}
    told = await git.run(*_ASK_FILTER, cwd=own, work_tree=tree, stdin=_joined(files))
    by_name: dict[str, list[StagedFile]] = {}
    for path, name in _filters_in(told.stdout).items():
        by_name.setdefault(name, []).append(files[path])
    return by_name


def tell_filtered(by_name: Mapping[str, Sequence[StagedFile]]) -> list[Gap]:
    """Give what a person would see otherwise: one gap for each filter that is not run.

    It names the first file, and counts the others.
    """
    return [
        Gap(files[0].path, _why(name, len(files) - 1)) for name, files in sorted(by_name.items())
    ]


async def find_unfiltered(
    git: Git,
    repository: Path,
    *,
    base: str,
    tip: str,
    touches: Iterable[Touch],
    allowed: Collection[str],
    pointers: Collection[str] = (),
) -> list[tuple[Touch, str]]:
    """Give every new content of a path that has a filter other than those `allowed`, with its name.

    What counts are the attributes of `base`, which no change can take back, and those of `tip`,
    which it may have added. A file that was only moved holds what had been through the filter,
    where it had that filter before; and of an empty one filters make nothing.
    """
    filled = [touch for touch in touches if touch.mode in REGULAR]
    commits = [base, tip] if any(is_attributes(touch.path) for touch in filled) else [base]
    missed: dict[str, str] = {}
    for commit in commits:
        filters = await _read_filters(git, repository, commit, {touch.path for touch in filled})
        missed |= {path: name for path, name in filters.items() if name not in allowed}
    if not missed:
        return []
    objects = await list_new_objects(git, repository, tip, base)
    new = {one.id.decode() for one in objects if one.size > 0}
    doubtful = [(touch, missed[touch.path]) for touch in filled if touch.path in missed]
    before = await _filters_before(git, repository, base, {one.object_id for one, _ in doubtful})
    return [
        (touch, name)
        for touch, name in doubtful
        if touch.object_id in new or name not in before.get(touch.object_id, {name})
        if name != LFS or touch.object_id not in pointers
    ]


async def _filters_before(
    git: Git, repository: Path, base: str, ids: Collection[str]
) -> Mapping[str, Collection[str]]:
    """Give the filters by which `base` has each content, "" for none.

    What it has nowhere is left out, as what an empty file holds.
    """
    if not ids:
        return {}
    listed = await git.run("ls-tree", "-r", "-z", "-l", base, cwd=repository)
    there = [
        entry
        for entry in read_tree_listing(listed.stdout, errors=EXACT)
        if entry.object_id in ids and entry.size
    ]
    filters = await _read_filters(git, repository, base, [entry.path for entry in there])
    known: dict[str, set[str]] = {}
    for entry in there:
        known.setdefault(entry.object_id, set()).add(filters.get(entry.path, ""))
    return known


async def _read_filters(
    git: Git, repository: Path, commit: str, paths: Collection[str]
) -> dict[str, str]:
    """Give the filter of each path that has one, as the attributes of a commit say.

    Git 2.39 reads attributes from a tree or an index, not from a commit: so the bare repository's
    own index, which nothing else uses, becomes the commit's.
    """
    await git.run("read-tree", commit, cwd=repository)
    told = await git.run(*_ASK_FILTER, cwd=repository, stdin=_joined(paths))
    return _filters_in(told.stdout)


def _filters_in(told: bytes) -> dict[str, str]:
    return {path: value for path, _, value in read_attributes(told) if value not in _NO_FILTER}


def _joined(paths: Iterable[str]) -> bytes:
    return "\0".join(paths).encode(errors=EXACT)


def why_pointer(others: int) -> str:
    """Say that a pointer is in the place of a file's content, and of how many others."""
    return _why(LFS, others)


def _why(name: str, others: int) -> str:
    """Say what is in the place of a file's content, and in how many others.

    >>> _why("lfs", 0)
    'holds a pointer of Git LFS, not its content'
    """
    if name == LFS:
        holds, hold = "holds a pointer", "hold pointers"
        end = "of Git LFS, not its content" if not others else "of Git LFS, not their contents"
    else:
        holds, hold = "holds", "hold"
        end = f"what the filter {_UNUSUAL.sub('?', name)[:50]} makes of a file; it is not run here"
    return f"{holds} {end}" if not others else f"and {others:,} more {hold} {end}"
