"""What a fetch asks for, and how strictly it looks at what comes.

All of a repository is fetched, and every object checked (`WHOLE`). Where that fails for something
in the repository itself, what one task needs may be sound all the same: its branch is asked for
alone, then unchecked, then without its tags. Objects that came unchecked are as good as anything
a stranger writes: the mirror is marked, and each tree out of it is checked before it is used
(`sound_tree.py`).
"""

from dataclasses import dataclass

from codebot.git.environment import Setting

HEADS = "+refs/heads/*:refs/heads/*"
TAGS = "+refs/tags/*:refs/tags/*"
"""What `git clone` brings. Tags move and go as those of the remote do."""

OLD_SINS = (
    *("badDate", "badDateOverflow", "badEmail", "badName", "badTagName", "badTimezone"),
    *("extraHeaderEntry", "missingEmail", "missingNameBeforeEmail", "missingSpaceBeforeDate"),
    *("missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors"),
    *("zeroPaddedDate", "zeroPaddedFilemode"),
)
"""What git's check refuses and honest old repositories have (flask: zeroPaddedFilemode).

None of them can make a checkout write where it should not; those that can stay errors, and what
comes from an agent is checked without exceptions.
"""

_LENIENT = tuple((f"fetch.fsck.{sin}", "ignore") for sin in OLD_SINS)
_UNCHECKED = (("fetch.fsckObjects", "false"),)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to fetch; `is_checked` says whether git looks at each object that comes."""

    refspecs: tuple[str, ...]
    options: tuple[str, ...]
    is_checked: bool = True

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings of git that go with it."""
        return _LENIENT if self.is_checked else _UNCHECKED


WHOLE = Way((HEADS, TAGS), ("--prune", "--no-tags"))


def by_name(commit: str) -> Way:
    """Give the way to fetch a commit that no branch need lead to."""
    return Way((commit,), ("--no-tags",))


def ways_to(branch: str) -> tuple[Way, ...]:
    """Give the ways to fetch one branch, each with less in the way than the one before.

    Without `--no-tags` git brings those tags that lie on the history of what it fetches.
    """
    alone = (f"+refs/heads/{branch}:refs/heads/{branch}",)
    return (
        Way(alone, ()),
        Way(alone, (), is_checked=False),
        Way(alone, ("--no-tags",), is_checked=False),
    )
