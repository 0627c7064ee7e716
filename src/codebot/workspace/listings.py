"""What git's listings for machines say, read: pure bytes to values.

Paths are whatever bytes a commit holds; what is not UTF-8 in them is replaced, since these values
are for people and for JSON.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from codebot.domain.outcome import ChangedFile

GITLINK = "160000"
REGULAR = frozenset({"100644", "100755", "100664"})


@dataclass(frozen=True, slots=True)
class Difference:
    """What `diff-tree --raw --numstat -z` says: the files, and the gitlinks that are new."""

    files: tuple[ChangedFile, ...]
    gitlinks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a commit: `size` is None for what is no blob."""

    mode: str
    object_id: str
    size: int | None
    path: str


def read_difference(output: bytes) -> Difference:
    r"""Read the raw records (`:MODE MODE ID ID STATUS`) and the counts that follow them.

    >>> read_difference(b":000000 100644 0 1 A\0a.py\0" b"3\t1\ta.py\0").files
    (ChangedFile(path='a.py', additions=3, deletions=1),)
    """
    fields = _fields(output)
    files: list[ChangedFile] = []
    gitlinks: list[str] = []
    for field in fields:
        if field.startswith(":"):
            _, mode, _, _, status = field.split(" ")
            path = [next(fields) for _ in range(_paths_of(status))][-1]
            if mode == GITLINK:
                gitlinks.append(path)
        else:
            files.append(_counted(field, fields))
    return Difference(tuple(files), tuple(gitlinks))


def read_tree_listing(output: bytes) -> Iterator[TreeEntry]:
    r"""Read `ls-tree -z -l`.

    >>> list(read_tree_listing(b"100644 blob 1f0c      12\ta b.py\0"))
    [TreeEntry(mode='100644', object_id='1f0c', size=12, path='a b.py')]
    """
    for field in _fields(output):
        facts, _, path = field.partition("\t")
        mode, _, object_id, size = facts.split()
        yield TreeEntry(mode, object_id, int(size) if size.isdecimal() else None, path)


def _fields(output: bytes) -> Iterator[str]:
    return (field.decode(errors="replace") for field in output.split(b"\0") if field)


def _paths_of(status: str) -> int:
    """Say how many paths a record names: two for a rename or a copy."""
    return 2 if status[0] in "RC" else 1


def _counted(field: str, following: Iterator[str]) -> ChangedFile:
    """Read `ADDED<TAB>DELETED<TAB>PATH`; of a rename, both paths follow as fields of their own."""
    added, deleted, path = field.split("\t", 2)
    if not path:
        _, path = next(following), next(following)
    return ChangedFile(path, _count(added), _count(deleted))


def _count(text: str) -> int:
    """Give the lines of a file; git writes `-` for a binary one."""
    return int(text) if text.isdecimal() else 0
