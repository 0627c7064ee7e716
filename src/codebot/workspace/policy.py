"""The rules of the border: what a change may not be. Values in, `ChangeRefused` out.

Rules on paths hold for every commit that is pushed, and for the change as a whole: what a commit
did and a later one took back is pushed, and what came with somebody else's branch is in the whole.
"""

from collections.abc import Iterable, Sequence

from codebot.errors import ChangeRefused, NothingChanged, PathProtected, SecretFound
from codebot.workspace.leaks import Leak
from codebot.workspace.limits import Limits
from codebot.workspace.listings import EXACT, GITLINK, Difference, Touch
from codebot.workspace.new_objects import NewObject
from codebot.workspace.protected import find_protecting

MEGABYTE = 1024 * 1024
MOST_NAMED = 10
"""Findings that are named; the others are counted."""


def check_amount(difference: Difference, commits: int, limits: Limits) -> None:
    """Refuse a change of too many files or commits, and one of none."""
    if not difference.files:
        raise NothingChanged("The agent made no changes.")
    if len(difference.files) > limits.max_files:
        raise ChangeRefused(
            f"The agent changed {len(difference.files)} files; that is too many.",
            hint="Build output that .gitignore does not name is the usual cause.",
        )
    if commits > limits.max_commits:
        raise ChangeRefused(f"The agent made {commits} commits; that is too many.")


def check_touches(touches: Iterable[Touch], protected_paths: Sequence[str]) -> None:
    """Refuse new submodules and whatever is protected, wherever it is touched."""
    for touch in touches:
        if touch.mode == GITLINK:
            raise ChangeRefused(
                f"The agent added or moved a submodule: {_place(touch)}.",
                hint="A repository of its own in the tree is not carried over; ask for its files.",
            )
        pattern = find_protecting(protected_paths, touch.path, is_link=touch.is_link)
        if pattern is not None:
            raise PathProtected(
                f"The agent touched {_place(touch)}, which is protected by {pattern!r}.",
                hint="Make that part of the change yourself, or take the path out of "
                "CODEBOT_PROTECTED_PATHS, then retry.",
            )


def check_sizes(objects: Iterable[NewObject], limits: Limits) -> None:
    """Refuse a file that no forge takes, and more in all than a change of code amounts to."""
    hint = "Say in the task that such files must not be committed, then retry."
    total = 0
    for one in objects:
        total += one.size
        if one.size > limits.max_file_bytes:
            most = limits.max_file_bytes // MEGABYTE
            raise ChangeRefused(
                f"The agent added {one.shown_path}, a file of more than {most} MiB.", hint=hint
            )
    if total > limits.max_total_bytes:
        most = limits.max_total_bytes // MEGABYTE
        raise ChangeRefused(f"The agent added more than {most} MiB in all.", hint=hint)


def check_links(leaving: Sequence[tuple[str, str, str]]) -> None:
    """Refuse symbolic links that lead out of the tree: (commit, path, where to)."""
    for commit, path, where in leaving[:1]:
        raise ChangeRefused(
            f"The agent made a symbolic link that leads {where}: {_shown(path)} "
            f"in commit {commit[:12]}.",
            hint="Links must stay within the repository; ask for the file itself.",
        )


def check_leaks(leaks: Sequence[tuple[str, Leak]]) -> None:
    """Refuse what looks like a credential: (where it is, leak). Its value is never told."""
    if leaks:
        places = list(dict.fromkeys(f"{place} ({leak.kind})" for place, leak in leaks))
        more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
        raise SecretFound(
            f"The agent's change holds what looks like a credential: {leaks[0][1].shown} in "
            f"{', '.join(places[:MOST_NAMED])}{more}.",
            hint="If it is real, replace it: the agent has seen it. If a test needs one, ask for "
            "one that is put together from parts, or made at run time.",
        )


def _place(touch: Touch) -> str:
    return f"{_shown(touch.path)} in commit {touch.commit[:12]}" if touch.commit else touch.path


def _shown(path: str) -> str:
    """Give a path whose bytes need not be text."""
    return path.encode(errors=EXACT).decode(errors="replace")
