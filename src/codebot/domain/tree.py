"""The files of one commit, as far as rules about a repository need to see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tree:
    """One commit's files, without a working tree and without running anything.

    `paths` are all its files, with `/` between folders (a symbolic link counts as one); `contents`
    holds those in the top folder that are regular files of a size that a person may have written.
    """

    paths: frozenset[str] = frozenset()
    contents: Mapping[str, bytes] = field(default_factory=dict)
