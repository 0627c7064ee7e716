"""What a change brings along: every object that is new, also those that a later commit took back.

All of them are pushed. What the mirror has already, on a branch that the agent merged, is not new.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codebot.git.git import Git

PORTION = 16 * 1024 * 1024
"""Bytes of unpacked objects that are read at once; a larger one comes alone."""

LONGEST_HEAD = 100
"""Bytes that git writes around an object: its id, type and size."""


@dataclass(frozen=True, slots=True)
class NewObject:
    """A commit, tree or file; `path` is empty for a commit and for the top tree."""

    id: bytes
    size: int
    path: bytes

    @property
    def shown_path(self) -> str:
        """Give the path for people."""
        return self.path.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Contents:
    """Some objects with all that they hold; `raw` is what `cat-file --batch` says of them."""

    objects: Sequence[NewObject]
    raw: bytes

    def each(self) -> Iterator[tuple[NewObject, bytes, bytes]]:
        """Give each object (`ID KIND SIZE<LF>CONTENT<LF>`) with its kind and content."""
        start = 0
        for one in self.objects:
            content = self.raw.index(b"\n", start) + 1
            end = content + one.size
            _, kind, _ = self.raw[start:content].split()
            yield one, kind, self.raw[content:end]
            start = end + 1


async def list_new_objects(git: Git, repository: Path, tip: str, base: str) -> list[NewObject]:
    """Give all that is new between `base` and `tip`."""
    listed = await git.run(
        *("rev-list", "--objects", tip, "--not", base, "--alternate-refs"), cwd=repository
    )
    # Git ends a line at a name's first line feed; a carriage return is part of the name.
    names = [line.partition(b" ") for line in listed.stdout.split(b"\n") if line]
    ids = b"".join(id_ + b"\n" for id_, _, _ in names)
    sizes = await git.run("cat-file", "--batch-check=%(objectsize)", cwd=repository, stdin=ids)
    return [
        NewObject(id_, int(size), path)
        for (id_, _, path), size in zip(names, sizes.stdout.split(), strict=True)
    ]


async def read_contents(
    git: Git, repository: Path, objects: Sequence[NewObject]
) -> AsyncIterator[Contents]:
    """Read all objects, some megabytes at a time."""
    for some in _in_portions(objects):
        said = await git.run(
            *("cat-file", "--batch"),
            cwd=repository,
            stdin=b"".join(one.id + b"\n" for one in some),
            max_output=sum(one.size + LONGEST_HEAD for one in some),
        )
        yield Contents(some, said.stdout)


def _in_portions(objects: Sequence[NewObject]) -> Iterator[list[NewObject]]:
    portion: list[NewObject] = []
    room = PORTION
    for one in objects:
        if portion and one.size > room:
            yield portion
            portion, room = [], PORTION
        portion.append(one)
        room -= one.size
    if portion:
        yield portion
