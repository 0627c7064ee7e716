"""What commits hold, read from the trusted repository: never from a tree that an agent touched."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from codebot.domain.tree import Tree, is_telling
from codebot.errors import GitFailed
from codebot.git.git import Git
from codebot.workspace.listings import REGULAR, TreeEntry, read_tree_listing

LARGEST_FILE = 1024 * 1024
LARGEST_SUM = 32 * 1024 * 1024
"""Bytes; larger files are not what a person wrote to say how a repository works."""

MOST_BELOW = 500
LARGEST_BELOW = 128 * 1024
"""Files below the top folder that are read, and the bytes of one: enough for a path to name."""


async def read_tree(git: Git, repository: Path, commit: str) -> Tree:
    """Give all paths of a commit, and the contents of the files that say how it works."""
    listed = await git.run("ls-tree", "-r", "-z", "-l", commit, cwd=repository)
    entries = list(read_tree_listing(listed.stdout))
    top = [entry for entry in entries if "/" not in entry.path]
    contents = await _read(git, repository, [*top, *_telling_below(entries)])
    return Tree(frozenset(entry.path for entry in entries), contents)


def _telling_below(entries: Iterable[TreeEntry]) -> list[TreeEntry]:
    """Give the files below the top folder that tell how something is set up, the nearest first."""
    telling = (
        entry
        for entry in entries
        if "/" in entry.path and (entry.size or 0) <= LARGEST_BELOW and is_telling(entry.path)
    )
    return sorted(telling, key=lambda entry: entry.path.count("/"))[:MOST_BELOW]


async def read_texts(
    git: Git, repository: Path, commit: str, paths: Collection[str]
) -> Mapping[str, str]:
    """Give those of the named files that a commit has, as text."""
    listed = await git.run("ls-tree", "-z", "-l", commit, "--", *paths, cwd=repository)
    contents = await _read(git, repository, read_tree_listing(listed.stdout))
    return {path: content.decode(errors="replace") for path, content in contents.items()}


async def read_diff(git: Git, repository: Path, old: str, new: str, max_bytes: int) -> str:
    """Give a unified diff; it ends with a line that says so where it is cut."""
    made = await git.run(
        *("diff-tree", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color", old, new),
        cwd=repository,
        max_output=max_bytes,
        check=False,
    )
    if made.code != 0 and not made.truncated:
        raise GitFailed(f"git diff-tree failed: {made.words}")
    if not made.truncated:
        return made.stdout.decode(errors="replace")
    whole_lines = made.stdout[: made.stdout.rfind(b"\n") + 1].decode(errors="replace")
    return f"{whole_lines}… (the diff is longer than {max_bytes} bytes; the branch has all of it)\n"


async def _read(git: Git, repository: Path, entries: Iterable[TreeEntry]) -> dict[str, bytes]:
    """Read regular files with one `cat-file --batch`, the small ones until the sum is reached."""
    room, wanted = LARGEST_SUM, []
    for entry in entries:
        size = entry.size
        if entry.mode in REGULAR and size is not None and size <= min(LARGEST_FILE, room):
            wanted.append(entry)
            room -= size
    if not wanted:
        return {}
    ids = "".join(f"{entry.object_id}\n" for entry in wanted)
    batch = await git.run("cat-file", "--batch", cwd=repository, stdin=ids.encode())
    return _split(batch.stdout, wanted)


def _split(batch: bytes, entries: Iterable[TreeEntry]) -> dict[str, bytes]:
    """Cut `ID blob SIZE<LF>CONTENT<LF>` into contents; the sizes are known."""
    contents: dict[str, bytes] = {}
    start = 0
    for entry in entries:
        start = batch.index(b"\n", start) + 1
        end = start + (entry.size or 0)
        contents[entry.path] = batch[start:end]
        start = end + 1
    return contents
