"""The rules of the border: what a change may not be. Values in, `ChangeRefused` out.

Rules on paths hold for every commit that is pushed, and for the change as a whole: what a commit
did and a later one took back is pushed, and what came with somebody else's branch is in the whole.
"""

from collections.abc import Callable, Iterable, Sequence

from codebot.errors import ChangeRefused, NothingChanged, PathProtected, SecretFound
from codebot.workspace.filters import LFS
from codebot.workspace.leaks import Leak
from codebot.workspace.limits import Limits
from codebot.workspace.listings import EXACT, GITLINK, Difference, Touch
from codebot.workspace.new_objects import NewObject
from codebot.workspace.protected import find_protecting

MEGABYTE = 1024 * 1024
MOST_NAMED = 10
"""Findings that are named; the others are counted."""

GRAVEST_FIRST = (SecretFound, PathProtected, ChangeRefused)


def refuse(found: Sequence[ChangeRefused | None]) -> None:
    """Raise one refusal for all that was found, so that one round can mend all of it.

    Its kind is that of the gravest; its words are those of every one.
    """
    refusals = sorted(filter(None, found), key=lambda one: GRAVEST_FIRST.index(type(one)))
    if refusals:

        def joined(words: Callable[[ChangeRefused], str]) -> str:
            return " ".join(dict.fromkeys(filter(None, map(words, refusals))))

        raise type(refusals[0])(
            joined(lambda one: one.detail),
            hint=joined(lambda one: one.hint),
            remedy=joined(lambda one: one.remedy),
        )


def check_amount(difference: Difference, commits: int, limits: Limits) -> None:
    """Refuse a change of too many files or commits, and one of none."""
    if not difference.files:
        raise NothingChanged("The agent made no changes.")
    if len(difference.files) > limits.max_files:
        raise ChangeRefused(
            f"The agent changed {len(difference.files)} files; that is too many.",
            hint="Build output that .gitignore does not name is the usual cause.",
            remedy="Leave build output, caches and installed packages out of your commits.",
        )
    if commits > limits.max_commits:
        raise ChangeRefused(
            f"The agent made {commits} commits; that is too many.",
            remedy="Make few commits of them, in steps that make sense.",
        )


def check_touches(touches: Iterable[Touch], protected_paths: Sequence[str]) -> None:
    """Refuse submodules that change and whatever is protected, wherever it is touched."""
    submodules: dict[str, str] = {}
    protected: dict[str, str] = {}
    for touch in touches:
        if GITLINK in {touch.mode, *touch.old_modes}:
            submodules.setdefault(touch.path, _place(touch))
        pattern = find_protecting(protected_paths, touch.path, is_link=touch.is_link)
        if pattern is not None:
            place = f"{_place(touch)}, which is protected by {pattern!r}"
            protected.setdefault(touch.path, place)
    refuse([_submodules_refused([*submodules.values()]), _protected([*protected.values()])])


def check_filters(unfiltered: Iterable[tuple[Touch, str]], *, runs_lfs: bool = False) -> None:
    """Refuse contents whose filter nobody has run: (where it is, the filter's name)."""
    places: dict[str, str] = {}
    large: dict[str, str] = {}
    for touch, name in unfiltered:
        is_large = runs_lfs and name == LFS
        (large if is_large else places)[touch.path] = f"{_place(touch)}, with the filter {name!r}"
    refuse([_not_by_lfs([*large.values()]), _unfiltered([*places.values()])])


def _not_by_lfs(places: Sequence[str]) -> ChangeRefused | None:
    """Refuse what is under Git LFS, and neither went through it nor names what is here."""
    if not places:
        return None
    return ChangeRefused(
        f"The agent committed files past Git LFS: {_listed(places)}. Each would be published as it "
        "is, or as a pointer to what nobody has.",
        hint="Make that part of the change yourself, or name the filter in CODEBOT_FILTERS if "
        "such files may go out unfiltered, then retry.",
        remedy="Put the files themselves in their places and commit them with `git add` (Git LFS "
        "is set up); write no pointers by hand.",
    )


def _unfiltered(places: Sequence[str]) -> ChangeRefused | None:
    if places:
        return ChangeRefused(
            "The agent changed files that go through a filter by the repository's attributes: "
            f"{_listed(places)}. No such filter is run here, so they would be "
            "published as they are.",
            hint="Make that part of the change yourself, or name the filter in CODEBOT_FILTERS if "
            "such files may go out unfiltered, then retry.",
            remedy="Leave files with a filter as they were, and add none; say in the summary what "
            "a person should change there.",
        )
    return None


def check_sizes(objects: Iterable[NewObject], limits: Limits) -> None:
    """Refuse a file that no forge takes, and more in all than a change of code amounts to."""
    hint = "Say in the task that such files must not be committed, then retry."
    remedy = "Leave such files out of your commits; what tests need is made at run time."
    total = 0
    large = []
    for one in objects:
        total += one.size
        if one.size > limits.max_file_bytes:
            large.append(one.shown_path)
    if large:
        most = limits.max_file_bytes // MEGABYTE
        names = _listed(large)
        raise ChangeRefused(
            f"The agent added {names}, a file of more than {most} MiB.", hint=hint, remedy=remedy
        )
    if total > limits.max_total_bytes:
        most = limits.max_total_bytes // MEGABYTE
        detail = f"The agent added more than {most} MiB in all."
        raise ChangeRefused(detail, hint=hint, remedy=remedy)


def check_links(leaving: Sequence[tuple[str, str, str]]) -> None:
    """Refuse symbolic links that lead out of the tree: (commit, path, where to)."""
    if leaving:
        links = [f"{where}: {_shown(path)} in commit {c[:12]}" for c, path, where in leaving]
        raise ChangeRefused(
            f"The agent made a symbolic link that leads {_listed(links)}.",
            hint="Links must stay within the repository; ask for the file itself.",
            remedy="Put the file itself in the place of such a link, or let it lead to a place in "
            "the repository, relative to its own. Virtual environments belong outside of the tree.",
        )


def check_leaks(leaks: Sequence[tuple[str, Leak]]) -> None:
    """Refuse what looks like a credential: (where it is, leak). Its value is never told."""
    if leaks:
        places = list(dict.fromkeys(f"{place} ({leak.kind})" for place, leak in leaks))
        raise SecretFound(
            f"The agent's change holds what looks like a credential: {leaks[0][1].shown} in "
            f"{_listed(places)}.",
            hint="If it is real, replace it: the agent has seen it. If a test needs one, ask for "
            "one that is put together from parts, or made at run time.",
            remedy="Take the credential out, and write it nowhere else. Where a test needs one of "
            "that shape, let it put one together from parts, or make one at run time.",
        )


def check_traces(traces: Sequence[tuple[str, Leak]]) -> None:
    """Refuse what names the gateway of this service: (where it is, what)."""
    if traces:
        places = list(dict.fromkeys(place for place, _ in traces))
        raise ChangeRefused(
            f"The agent's change names this service's own gateway in {_listed(places)}.",
            hint="Such an address, or certificate, means something in a box only: retry.",
            remedy="Take it out, and write it nowhere else: set programs up by their environment, "
            "as it is, and not by files of the repository.",
        )


def _submodules_refused(places: Sequence[str]) -> ChangeRefused | None:
    if not places:
        return None
    return ChangeRefused(
        f"The agent added, moved or removed a submodule: {_listed(places)}.",
        hint="A repository of its own in the tree is not carried over; ask for its files.",
        remedy="Leave submodules as they were. Of another repository in the tree, remove its "
        "`.git` and commit the files, or leave it out.",
    )


def _protected(places: Sequence[str]) -> PathProtected | None:
    if not places:
        return None
    return PathProtected(
        f"The agent touched {_listed(places)}.",
        hint="Make that part of the change yourself, or take the path out of "
        "CODEBOT_PROTECTED_PATHS, then retry.",
        remedy="Leave protected paths as they were, and say in the summary what a person should "
        "change there.",
    )


def _listed(findings: Sequence[str]) -> str:
    """Name the first findings, and count the others.

    >>> _listed(["a", "b"])
    'a; b'
    """
    more = f" and {len(findings) - MOST_NAMED} more" if len(findings) > MOST_NAMED else ""
    return f"{'; '.join(findings[:MOST_NAMED])}{more}"


def _place(touch: Touch) -> str:
    return f"{_shown(touch.path)} in commit {touch.commit[:12]}" if touch.commit else touch.path


def _shown(path: str) -> str:
    """Give a path whose bytes need not be text."""
    return path.encode(errors=EXACT).decode(errors="replace")
