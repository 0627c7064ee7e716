"""Which commit a tree is at, and what in it is neither committed nor ignored."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from codebot.domain.box import Exit, ExitReason, Network
from codebot.verify.boxed import Boxed
from codebot.verify.output import as_text

TIME_LIMIT = timedelta(minutes=2)
MOST_FILES = 100
LONGEST_PATH = 500

_GIT_STATUS = (
    "git",
    "-c",
    "core.fsmonitor=false",
    "status",
    "--porcelain=v2",
    "--branch",
    "--no-renames",
    "--untracked-files=normal",
    "-z",
)
_ENV = {"GIT_OPTIONAL_LOCKS": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
_FIELDS_BEFORE_PATH = {"1": 8, "u": 10, "?": 1}
"""https://git-scm.com/docs/git-status#_porcelain_format_version_2"""
_COMMIT = "# branch.oid "


@dataclass(frozen=True, slots=True)
class TreeState:
    """The commit that a tree stands at ("" when it cannot be told), and the files beside it."""

    commit: str
    files: tuple[str, ...]


async def look_at_tree(boxed: Boxed) -> TreeState:
    """Ask git in the box: the tree's repository is the agent's, and may hold anything."""
    ended = await boxed.run(*_GIT_STATUS, limit=TIME_LIMIT, network=Network.NONE, env=_ENV)
    if ended.exit != Exit(ExitReason.EXITED, 0):
        return TreeState("", ())
    return read_status(ended.tail)


def read_status(output: bytes) -> TreeState:
    r"""Read git's own words; only the first files are named, however many there are.

    >>> read_status(b"# branch.oid 1f3e\0? junk.txt\0? build/\0")
    TreeState(commit='1f3e', files=('junk.txt', 'build/'))
    """
    entries = output.decode(errors="replace").split("\0")
    commits = [entry.removeprefix(_COMMIT) for entry in entries if entry.startswith(_COMMIT)]
    return TreeState(commits[0] if commits else "", tuple(_paths(entries))[:MOST_FILES])


def _paths(entries: list[str]) -> Iterator[str]:
    for entry in entries:
        before = _FIELDS_BEFORE_PATH.get(entry[:1])
        parts = entry.split(" ", before) if before else []
        if before and len(parts) > before:
            path = as_text(parts[before].encode(), 0).replace("\n", " ")
            yield path[:LONGEST_PATH]
