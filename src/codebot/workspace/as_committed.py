"""Files that git would rewrite by itself: kept as they were committed, until somebody edits them.

Under `text`, `ident` or `working-tree-encoding`, what `git add` makes of an untouched file need not
be what was committed: a blob with CRLF under `eol=crlf`, an `$Id$` that was committed expanded. A
person sees such a file as modified right after a clone; an agent's change would hold it beside the
work, or be nothing else. So these files are found when a tree is filled, and excepted by name from
every conversion: `.git/info/attributes` goes before all of a tree's `.gitattributes`.
https://git-scm.com/docs/gitattributes#_checking_out_and_checking_in
"""

import re
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

from codebot.git.git import Git
from codebot.workspace.folders import disk_errors
from codebot.workspace.listings import (
    EXACT,
    REGULAR,
    is_attributes,
    read_attributes,
)
from codebot.workspace.staged import list_staged

EXCEPTIONS = Path("info", "attributes")
"""Below the folder of a repository."""

_LINE_ENDS = frozenset({"text", "crlf", "eol"})
_CONVERTING = frozenset({"ident", "working-tree-encoding"})
_OFF = frozenset({"unspecified", "unset"})

_INTRODUCTION = b"# What git would rewrite in an untouched checkout: kept as it was committed.\n"
_KEPT = "-text -crlf !eol -ident !working-tree-encoding"
_SPECIAL_IN_A_PATTERN = re.compile(r"[\\*?\[]")
_SPECIAL_IN_QUOTES = re.compile(r'["\\\n]')


async def keep_as_committed(git: Git, tree: Path, repository: Path) -> None:
    """Except what git would rewrite in `tree`: a checkout of ours that nobody has touched yet.

    The exceptions are written to the tree's own `.git`, and to the trusted `repository` for the
    case that an agent loses the first.
    """
    paths = await _Checkout(git, tree).find_rewritten()
    if not paths:
        return
    with disk_errors(tree):
        for place in _places(tree, repository):
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(_INTRODUCTION + b"".join(map(_exception, paths)))
        for path in paths:
            (tree / path).unlink()
    await _Checkout(git, tree).put_back(paths)


def share_exceptions(repository: Path, own: Path) -> None:
    """Except the same in another checkout's `.git`; fine when nothing was excepted."""
    with disk_errors(own):
        if (repository / EXCEPTIONS).exists():
            (own / EXCEPTIONS).parent.mkdir(exist_ok=True)
            shutil.copyfile(repository / EXCEPTIONS, own / EXCEPTIONS)


def forget_exceptions(tree: Path, repository: Path) -> None:
    """Take back what was excepted; fine when nothing was."""
    with disk_errors(tree):
        for place in _places(tree, repository):
            place.unlink(missing_ok=True)


class _Checkout:
    """A tree as `git reset --hard` left it, seen through its index."""

    def __init__(self, git: Git, tree: Path) -> None:
        self._git = git
        self._tree = tree

    async def find_rewritten(self) -> list[str]:
        """Give the paths of which `git add` would make another blob, or no blob at all.

        Without a `.gitattributes` that is one listing. Else only what could be meant is hashed:
        2,087 files under `* text=auto` take 80 ms to be searched, and 280 ms to be hashed.
        """
        files = await list_staged(self._git, self._tree)
        if not any(is_attributes(file.path) for file in files):
            return []
        committed = {file.path: file.object_id for file in files if file.mode in REGULAR}
        doubtful = await self._find_doubtful(list(committed))
        return [path async for path in self._differing(doubtful, committed)]

    async def put_back(self, paths: Iterable[str]) -> None:
        """Check files out anew that were removed."""
        await self._run("checkout-index", "--index", "-z", "--stdin", stdin=_joined(paths))

    async def _find_doubtful(self, paths: Iterable[str]) -> list[str]:
        """Give the files that attributes could convert, and that hold something to be converted."""
        asked = sorted(_LINE_ENDS | _CONVERTING)
        told = await self._run("check-attr", "-z", "--stdin", *asked, stdin=_joined(paths))
        by_line_ends: set[str] = set()
        by_content: set[str] = set()
        for path, attribute, value in read_attributes(told):
            if value not in _OFF:
                (by_line_ends if attribute in _LINE_ENDS else by_content).add(path)
        if by_line_ends:
            by_line_ends &= await self._find_carriage_returns()
        return sorted(by_line_ends | by_content)

    async def _find_carriage_returns(self) -> set[str]:
        """Give the files with a carriage return at the end of a line."""
        searching = ("grep", "--text", "--files-with-matches", "-z", "-e", "\r$")
        found = await self._git.run(
            *searching, cwd=self._tree / ".git", work_tree=self._tree, check=False
        )
        return set(found.stdout.decode(errors=EXACT).split("\0"))

    async def _differing(
        self, paths: Sequence[str], committed: Mapping[str, str]
    ) -> AsyncIterator[str]:
        left = list(paths)
        while left:
            lines = "".join(f'"{_quoted(path)}"\n' for path in left)
            hashed = await self._git.run(
                *("hash-object", "-w", "--stdin-paths"),
                cwd=self._tree / ".git",
                work_tree=self._tree,
                stdin=lines.encode(errors=EXACT),
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


def _places(tree: Path, repository: Path) -> tuple[Path, Path]:
    return tree / ".git" / EXCEPTIONS, repository / EXCEPTIONS


def _joined(paths: Iterable[str]) -> bytes:
    return "\0".join(paths).encode(errors=EXACT)


def _exception(path: str) -> bytes:
    r"""Write the line for one path: a pattern that nothing else fits, in quotes.

    >>> _exception("a[1] b")
    b'"/a\\\\[1] b" -text -crlf !eol -ident !working-tree-encoding\n'
    """
    pattern = _SPECIAL_IN_A_PATTERN.sub(r"\\\g<0>", path)
    return f'"/{_quoted(pattern)}" {_KEPT}\n'.encode(errors=EXACT)


def _quoted(text: str) -> str:
    """Write a text as it stands between quotes in what git reads."""
    return _SPECIAL_IN_QUOTES.sub(lambda one: "\\n" if one[0] == "\n" else f"\\{one[0]}", text)
