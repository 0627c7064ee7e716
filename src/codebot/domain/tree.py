"""The files of one commit, as far as rules about a repository need to see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tree:
    """One commit's files, without a working tree and without running anything.

    `paths` are all its files, with `/` between folders (a symbolic link counts as one); `contents`
    holds those that were asked for by path, are regular files, and are not too large to read.
    """

    paths: frozenset[str] = frozenset()
    contents: Mapping[str, bytes] = field(default_factory=dict)
