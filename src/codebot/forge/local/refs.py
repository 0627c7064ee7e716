"""What `git ls-remote --symref` says, read: pure text to values.

https://git-scm.com/docs/git-ls-remote#_output
"""

from collections.abc import Mapping
from dataclasses import dataclass

_SYMBOLIC = "ref: refs/heads/"


@dataclass(frozen=True, slots=True)
class Refs:
    """The commit of each ref, and the branch that HEAD is on (None: detached, or not asked)."""

    commits: Mapping[str, str]
    head_branch: str | None


def parse_refs(listing: str) -> Refs:
    r"""Read the lines `COMMIT<TAB>REF` and `ref: REF<TAB>HEAD`.

    >>> parse_refs("ref: refs/heads/main\tHEAD\n1f0c\tHEAD\n1f0c\trefs/heads/main\n")
    Refs(commits={'HEAD': '1f0c', 'refs/heads/main': '1f0c'}, head_branch='main')
    >>> parse_refs("")
    Refs(commits={}, head_branch=None)
    """
    commits: dict[str, str] = {}
    head_branch = None
    for line in listing.split("\n"):  # not `splitlines`: a name may hold U+2028
        value, _, name = line.partition("\t")
        if value.startswith(_SYMBOLIC) and name == "HEAD":
            head_branch = value.removeprefix(_SYMBOLIC)
        elif name:
            commits[name] = value
    return Refs(commits, head_branch)
