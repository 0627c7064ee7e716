"""Paths that no change may touch: pure patterns and paths, read as strictly as they can be.

A pattern is one of git's `glob` pathspecs: `*` and `?` stay within a folder's name, `**` spans
folders, and what a pattern names protects all that lies below it. Three things are stricter than
git's own matching: case never counts, since some disks keep none; `[...]` stands for any
character; and a link in the place of a folder that leads to a protected path is touched, too
(`.github` as a link to a folder that holds `workflows`).
https://git-scm.com/docs/gitglossary#Documentation/gitglossary.txt-aiddefpathspecapathspec
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_ANY_FOLDERS = "**"
_TOKEN = re.compile(
    r"(?P<stars>\*+)|(?P<one>\?)|(?P<set>\[[!^]?\]?(?:\[:\w+:\]|\\.|[^\]])*\])|\\?(?P<plain>.)",
    re.DOTALL,
)


def find_protecting(patterns: Iterable[str], path: str, *, is_link: bool = False) -> str | None:
    """Give the pattern by which `path` may not be touched, None when nothing speaks against it.

    `is_link` says that the path is, or was, a symbolic link.

    >>> find_protecting(["**/CODEOWNERS", ".github/workflows/**"], ".GitHub/Workflows/ci.yml")
    '.github/workflows/**'
    >>> find_protecting([".github/workflows/**"], ".github/labels.yml")
    >>> find_protecting([".github/workflows/**"], ".github", is_link=True)
    '.github/workflows/**'
    """
    names = path.split("/")
    return next((text for text in patterns if _pattern(text).protects(names, is_link)), None)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One part for each name of a path; None stands for `**`."""

    parts: tuple[re.Pattern[str] | None, ...]

    def protects(self, names: Sequence[str], is_link: bool) -> bool:  # noqa: FBT001 - said by name above
        """Walk down the path with every place of the pattern that it may have reached."""
        reached = self._with_skipped({0})
        on_the_way = False
        for name in names:
            by_name = {at + 1 for at in reached if self._fits(at, name)}
            by_span = {at for at in reached if self.parts[at] is None}
            on_the_way = bool(by_name)
            reached = self._with_skipped(by_name | by_span)
            if self._is_complete(by_name, by_span):
                return True
        return is_link and on_the_way

    def _fits(self, at: int, name: str) -> bool:
        part = self.parts[at]
        return part is not None and part.fullmatch(name) is not None

    def _with_skipped(self, reached: set[int]) -> set[int]:
        """Add the places behind a `**`, which may stand for no folder at all."""
        last = len(self.parts) - 1
        for at, part in enumerate(self.parts):
            if at in reached and part is None and at < last:
                reached.add(at + 1)
        return reached

    def _is_complete(self, by_name: set[int], by_span: set[int]) -> bool:
        """Whether the pattern is used up: by its last name, or inside of its last `**`."""
        return len(self.parts) in by_name or len(self.parts) - 1 in by_span


@lru_cache(maxsize=1000)
def _pattern(text: str) -> _Pattern:
    names = [name for name in text.split("/") if name]
    return _Pattern(tuple(None if name == _ANY_FOLDERS else _part(name) for name in names))


def _part(glob: str) -> re.Pattern[str]:
    return re.compile("".join(map(_regex, _TOKEN.finditer(glob))), re.IGNORECASE | re.DOTALL)


def _regex(token: re.Match[str]) -> str:
    if token["stars"]:
        return ".*"
    if token["one"] or token["set"]:
        return "."
    return re.escape(token["plain"])
