"""Whether files can be made of a commit's tree, for objects that nobody has checked yet.

Only what is checked out is looked at: the trees of one commit, and what its `.gitmodules` and
`.gitattributes` say; not the history before it. https://git-scm.com/docs/git-fsck
"""

from pathlib import Path

from codebot.errors import CloneFailed
from codebot.git.git import Git

HARMLESS = (
    *("duplicateEntries", "treeNotSorted", "zeroPaddedFilemode", "badFilemode"),
    *("gitattributesLarge", "gitattributesLineLength", "gitmodulesLarge", "gitmodulesParse"),
)
"""What can stand in a tree without making git write where it should not.

Of two entries of one name git takes one; it never writes through a link that it made itself. Lines
and files that are too long for its liking it leaves unread.
"""


async def require_sound_tree(git: Git, mirror: Path, commit: str, borrower: Path) -> None:
    """Raise `CloneFailed` when git's strict check refuses the tree of a commit.

    The trees alone are packed again, and go through the check that a fetch makes; they stay behind
    in `borrower`, which does no harm.
    """
    tree = await git.run(
        "rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}", cwd=mirror
    )
    trees = await git.run(
        *("pack-objects", "--quiet", "--revs", "--filter=blob:none", "--stdout"),
        cwd=mirror,
        stdin=f"{tree.text}\n".encode(),
    )
    ignored = ",".join(f"{name}=ignore" for name in HARMLESS)
    checked = await git.run(
        *("index-pack", f"--strict={ignored}", "--stdin"),
        cwd=borrower,
        stdin=trees.stdout,
        check=False,
    )
    if checked.code != 0:
        raise CloneFailed(
            f"Failed to clone repository: Git refuses the files of {commit}: {checked.words}",
            hint="Take what Git names out of the branch, or start from another one.",
        )
