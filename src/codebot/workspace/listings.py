"""What git's listings for machines say, read: pure bytes to values.

Paths are whatever bytes a commit holds. What is not UTF-8 in them is replaced where the values are
for people and for JSON, and kept (`EXACT`) where one path must not be taken for another.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from codebot.domain.outcome import ChangedFile

GITLINK = "160000"
SYMLINK = "120000"
NOTHING = "000000"

EXACT = "surrogateescape"
"""How to decode bytes so that they can be had back."""
REGULAR = frozenset({"100644", "100755", "100664"})


@dataclass(frozen=True, slots=True)
class Touch:
    """A path that a commit touches: its mode now, and those it had in the commit's parents.

    `commit` is "" for the change as a whole; `NOTHING` is the mode of a file that is not there.
    `object_id` is what the path holds now.
    """

    commit: str
    path: str
    mode: str
    old_modes: tuple[str, ...]
    object_id: str = ""

    @property
    def is_link(self) -> bool:
        """Whether there is, or was, a symbolic link."""
        return SYMLINK in {self.mode, *self.old_modes}


@dataclass(frozen=True, slots=True)
class Difference:
    """What `diff-tree --raw --numstat -z` says: the files, and every path with its modes.

    A rename is one file, and touches two paths.
    """

    files: tuple[ChangedFile, ...]
    touches: tuple[Touch, ...]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a commit: `size` is None for what is no blob."""

    mode: str
    object_id: str
    size: int | None
    path: str


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One file of an index; its path can be encoded again (`EXACT`)."""

    mode: str
    object_id: str
    path: str


def read_difference(output: bytes) -> Difference:
    r"""Read the raw records (`:MODE MODE ID ID STATUS`) and the counts that follow them.

    >>> read_difference(b":000000 100644 0 1 A\0a.py\0" b"3\t1\ta.py\0").files
    (ChangedFile(path='a.py', additions=3, deletions=1),)
    """
    fields = _fields(output)
    files: list[ChangedFile] = []
    touches: list[Touch] = []
    for field in fields:
        if field.startswith(":"):
            touches += _touched(field, fields, commit="")
        else:
            files.append(_counted(field, fields))
    return Difference(tuple(files), tuple(touches))


def read_touches(output: bytes) -> Iterator[Touch]:
    r"""Read `log --raw -c -z --format=%x00%H`: what each commit touches, a merge by itself.

    >>> list(read_touches(b"\0" b"1f0c\0\n:000000 120000 0 1 A\0a\0"))
    [Touch(commit='1f0c', path='a', mode='120000', old_modes=('000000',), object_id='1')]
    """
    fields = _fields(output, errors=EXACT)
    commit = ""
    for field in fields:
        record = field.removeprefix("\n")
        if record.startswith(":"):
            yield from _touched(record, fields, commit)
        elif record:
            commit = record


def read_tree_listing(output: bytes, *, errors: str = "replace") -> Iterator[TreeEntry]:
    r"""Read `ls-tree -z -l`; `errors` says what becomes of bytes that are not UTF-8.

    >>> list(read_tree_listing(b"100644 blob 1f0c      12\ta b.py\0"))
    [TreeEntry(mode='100644', object_id='1f0c', size=12, path='a b.py')]
    """
    for field in _fields(output, errors):
        facts, _, path = field.partition("\t")
        mode, _, object_id, size = facts.split()
        yield TreeEntry(mode, object_id, int(size) if size.isdecimal() else None, path)


def read_staged_files(output: bytes) -> Iterator[StagedFile]:
    r"""Read `ls-files --stage -z`.

    >>> list(read_staged_files(b"100644 1f0c 0\ta b.py\0"))
    [StagedFile(mode='100644', object_id='1f0c', path='a b.py')]
    """
    for record in _fields(output, EXACT):
        facts, _, path = record.partition("\t")
        mode, object_id, _ = facts.split(" ")
        yield StagedFile(mode, object_id, path)


def is_attributes(path: str) -> bool:
    """Say whether a file holds attributes for those beside and below it."""
    return path.rpartition("/")[2] == ".gitattributes"


def read_attributes(output: bytes) -> Iterator[tuple[str, str, str]]:
    r"""Read `check-attr -z`: path, attribute and value, again and again.

    >>> list(read_attributes(b"a.png\0filter\0lfs\0"))
    [('a.png', 'filter', 'lfs')]
    """
    fields = (field.decode(errors=EXACT) for field in output.split(b"\0"))
    return zip(fields, fields, fields, strict=False)


def _fields(output: bytes, errors: str = "replace") -> Iterator[str]:
    return (field.decode(errors=errors) for field in output.split(b"\0") if field)


def _touched(record: str, following: Iterator[str], commit: str) -> Iterator[Touch]:
    """Read `:MODE MODE ID ID STATUS`; a merge has a colon, a mode and an id for each parent."""
    parents = len(record) - len(record.lstrip(":"))
    words = record[parents:].split(" ")
    *old_modes, mode = words[: parents + 1]
    object_id = words[2 * parents + 1]
    paths = [next(following) for _ in range(_paths_of(words[-1]))]
    if len(paths) > 1:  # what was renamed is gone where it was
        yield Touch(commit, paths[0], NOTHING, tuple(old_modes))
    yield Touch(commit, paths[-1], mode, tuple(old_modes), object_id)


def _paths_of(status: str) -> int:
    """Say how many paths a record names: two for a rename (copies are not looked for)."""
    return 2 if status[0] == "R" else 1


def _counted(field: str, following: Iterator[str]) -> ChangedFile:
    """Read `ADDED<TAB>DELETED<TAB>PATH`; of a rename, both paths follow as fields of their own."""
    added, deleted, path = field.split("\t", 2)
    if not path:
        _, path = next(following), next(following)
    return ChangedFile(path, _count(added), _count(deleted))


def _count(text: str) -> int:
    """Give the lines of a file; git writes `-` for a binary one."""
    return int(text) if text.isdecimal() else 0
