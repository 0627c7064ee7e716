"""Files that git would rewrite by itself: kept as they were committed, until somebody edits them.

Under `text`, `ident` or `working-tree-encoding`, what `git add` makes of an untouched file need not
be what was committed: a blob with CRLF under `eol=crlf`, an `$Id$` that was committed expanded. A
person sees such a file as modified right after a clone; an agent's change would hold it beside the
work, or be nothing else. So these files are found when a tree is filled, and excepted by name from
every conversion: `.git/info/attributes` goes before all of a tree's `.gitattributes`.
https://git-scm.com/docs/gitattributes#_checking_out_and_checking_in
"""

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

from codebot.git.git import Git
from codebot.workspace.folders import disk_errors
from codebot.workspace.listings import REGULAR, read_staged_files

EXCEPTIONS = Path("info", "attributes")
"""Below the folder of a repository."""

_LINE_ENDS = frozenset({b"text", b"crlf", b"eol"})
_CONVERTING = frozenset({b"ident", b"working-tree-encoding"})
_OFF = frozenset({b"unspecified", b"unset"})

_INTRODUCTION = b"# What git would rewrite in an untouched checkout: kept as it was committed.\n"
_KEPT = b" -text -crlf !eol -ident !working-tree-encoding\n"
_SPECIAL_IN_A_PATTERN = re.compile(rb"[\\*?\[]")
_SPECIAL_IN_QUOTES = re.compile(rb'["\\\n]')


async def keep_as_committed(git: Git, tree: Path, repository: Path) -> None:
    """Except what git would rewrite in `tree`: a checkout of ours that nobody has touched yet.

    The exceptions are written to the tree's own `.git`, and to the trusted `repository` for the
    case that an agent loses the first.
    """
    places = (tree / ".git" / EXCEPTIONS, repository / EXCEPTIONS)
    with disk_errors():
        for place in places:
            place.unlink(missing_ok=True)
    paths = await _Checkout(git, tree).find_rewritten()
    if not paths:
        return
    with disk_errors():
        for place in places:
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(_INTRODUCTION + b"".join(map(_exception, paths)))
        for path in paths:
            (tree / os.fsdecode(path)).unlink()
    await _Checkout(git, tree).put_back(paths)


class _Checkout:
    """A tree as `git reset --hard` left it, seen through its index."""

    def __init__(self, git: Git, tree: Path) -> None:
        self._git = git
        self._tree = tree

    async def find_rewritten(self) -> list[bytes]:
        """Give the paths of which `git add` would make another blob, or no blob at all.

        Without a `.gitattributes` that is one listing. Else only what could be meant is hashed:
        2,087 files under `* text=auto` take 80 ms to be searched, and 280 ms to be hashed.
        """
        listed = await self._run("ls-files", "--stage", "-z")
        files = list(read_staged_files(listed))
        if not any(os.path.basename(file.path) == b".gitattributes" for file in files):  # noqa: PTH119 - bytes
            return []
        committed = {file.path: file.object_id for file in files if file.mode in REGULAR}
        doubtful = await self._find_doubtful(list(committed))
        return [path async for path in self._differing(doubtful, committed)]

    async def put_back(self, paths: Sequence[bytes]) -> None:
        """Check files out anew that were removed."""
        await self._run("checkout-index", "--index", "-z", "--stdin", stdin=b"\0".join(paths))

    async def _find_doubtful(self, paths: Sequence[bytes]) -> list[bytes]:
        """Give the files that attributes could convert, and that hold something to be converted."""
        asked = (name.decode() for name in sorted(_LINE_ENDS | _CONVERTING))
        told = await self._run("check-attr", "-z", "--stdin", *asked, stdin=b"\0".join(paths))
        by_line_ends: set[bytes] = set()
        by_content: set[bytes] = set()
        for path, attribute, value in _triples(told):
            if value not in _OFF:
                (by_line_ends if attribute in _LINE_ENDS else by_content).add(path)
        if by_line_ends:
            by_line_ends &= await self._find_carriage_returns()
        return sorted(by_line_ends | by_content)

    async def _find_carriage_returns(self) -> set[bytes]:
        """Give the files with a carriage return at the end of a line."""
        searching = ("grep", "--text", "--files-with-matches", "-z", "-e", "\r$")
        found = await self._git.run(
            *searching, cwd=self._tree / ".git", work_tree=self._tree, check=False
        )
        return set(found.stdout.split(b"\0"))

    async def _differing(
        self, paths: Sequence[bytes], committed: Mapping[bytes, str]
    ) -> AsyncIterator[bytes]:
        left = list(paths)
        while left:
            lines = b"".join(b'"%b"\n' % _quoted(path) for path in left)
            hashed = await self._git.run(
                *("hash-object", "-w", "--stdin-paths"),
                cwd=self._tree / ".git",
                work_tree=self._tree,
                stdin=lines,
                check=False,
            )
            made = hashed.text.split()
            for path, object_id in zip(left, made, strict=False):
                if object_id != committed[path]:
                    yield path
            for path in left[len(made) :][:1]:  # git stops at a file that cannot be converted
                yield path
            left = left[len(made) + 1 :]

    async def _run(self, *args: str, stdin: bytes = b"") -> bytes:
        ended = await self._git.run(
            *args, cwd=self._tree / ".git", work_tree=self._tree, stdin=stdin
        )
        return ended.stdout


def _triples(told: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Read `check-attr -z`: path, attribute and value, over and over."""
    fields = iter(told.split(b"\0"))
    return zip(fields, fields, fields, strict=False)


def _exception(path: bytes) -> bytes:
    r"""Write the line for one path: a pattern that nothing else fits, in quotes.

    >>> _exception(b"a[1] b")
    b'"/a\\\\[1] b" -text -crlf !eol -ident !working-tree-encoding\n'
    """
    return b'"/%b"' % _quoted(_SPECIAL_IN_A_PATTERN.sub(rb"\\\g<0>", path)) + _KEPT


def _quoted(text: bytes) -> bytes:
    """Write a text as it stands between quotes in what git reads."""
    return _SPECIAL_IN_QUOTES.sub(lambda one: b"\\n" if one[0] == b"\n" else b"\\" + one[0], text)
