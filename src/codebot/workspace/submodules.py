"""Submodules: the commits that a tree records of other repositories, put where they belong.

They are there to be read. Each gets a `.git` as `git submodule update` would make it, with the
objects of its one commit, no remote and no credential: tools that look for a checked-out submodule
find one, and have nothing to fetch. What is changed inside of one is never collected.

The addresses are the repository's own words (`.gitmodules`), so git never sees them: `find_source`
makes a repository of this service's forge of them, or nothing.
"""

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

from codebot.domain.outcome import Gap
from codebot.domain.ports import Forge
from codebot.domain.repository import RemoteAccess, Repository, Source
from codebot.errors import CloneFailed
from codebot.git.git import Git
from codebot.workspace.at_once import at_once
from codebot.workspace.folders import disk_errors
from codebot.workspace.listings import EXACT, GITLINK, StagedFile
from codebot.workspace.mirror import Mirrors
from codebot.workspace.staged import list_staged

MOST_SUBMODULES = 200
"""In all of a task's tree; Boost has 160."""
DEEPEST = 4
"""Submodules within submodules."""
AT_ONCE = 4

LONGEST_FOLDER = 255
"""Bytes that Linux takes for the name of a file; each letter of another script takes nine."""

FILL_TIMEOUT = timedelta(minutes=10)

FindSource = Callable[[str, Repository], Source | None]
"""Says which repository a submodule's address means, seen from the repository that names it."""

_KEY = re.compile(r"submodule\.(?P<name>.+)\.(?P<what>path|url)", re.DOTALL)
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,100}")


@dataclass(frozen=True, slots=True)
class _Parent:
    """A tree that records submodules; `prefix` is its own path within the task's tree."""

    repository: Repository
    tree: Path
    own: Path
    commit: str
    prefix: str = ""
    depth: int = 1


@dataclass(frozen=True, slots=True)
class _Submodule:
    """What a parent records: `name` and `url` are "" where `.gitmodules` does not say."""

    path: str
    commit: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class _Reading:
    """A forge as a submodule is read from it: by everybody's means unless tasks may name it."""

    forge: Forge
    source: Source

    async def read_access(self, repository: Repository) -> RemoteAccess:
        if not self.source.uses_credential:
            return RemoteAccess(repository.url)
        return await self.forge.source_access(repository)

    async def forget_access(self, repository: Repository) -> None:
        await self.forge.forget_access(repository)


@dataclass(slots=True)
class Submodules:
    """Fills the submodules of one tree; `paths` and `gaps` say what became of them.

    Without `find_source` none is brought.
    """

    git: Git
    mirrors: Mirrors
    forge: Forge
    find_source: FindSource | None
    paths: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    _seen: int = 0
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def fill(
        self, tree: Path, repository: Repository, commit: str, staged: Iterable[StagedFile]
    ) -> None:
        """Bring what `tree`, a checkout that nobody has touched, records at `commit` (`staged`).

        Raises what a network that fails raises, so that the whole is tried again later; what this
        forge does not have, or does not show, is a gap.
        """
        await self._fill(_Parent(repository, tree, tree / ".git", commit), staged)

    async def _fill(self, parent: _Parent, staged: Iterable[StagedFile]) -> None:
        async with at_once() as group:
            for one in await self._list(parent, staged):
                group.create_task(self._bring(parent, one))

    async def _list(self, parent: _Parent, staged: Iterable[StagedFile]) -> list[_Submodule]:
        links = [one for one in staged if one.mode == GITLINK]
        if not links:
            return []
        told = await self.git.run(
            *("config", "-z", "--blob", f"{parent.commit}:.gitmodules", "--list"),
            cwd=parent.own,
            check=False,
        )
        known = _read_modules(told.stdout)
        return [
            _Submodule(link.path, link.object_id, *known.get(link.path, ("", ""))) for link in links
        ]

    async def _bring(self, parent: _Parent, one: _Submodule) -> None:
        path = parent.prefix + one.path
        self._seen += 1
        source = self.find_source(one.url, parent.repository) if self.find_source else None
        reason = self._why_not(parent, one, source)
        if source is not None and not reason:
            async with self._turns:
                reason = await self._fetch_and_fill(parent, one, source)
        if source is None or reason:
            self.gaps.append(Gap(path, reason))
            return
        self.paths.append(path)
        own, tree = _own_folder(parent, one), parent.tree / one.path
        below = _Parent(source.repository, tree, own, one.commit, f"{path}/", parent.depth + 1)
        await self._fill(below, await list_staged(self.git, tree, own))

    def _why_not(self, parent: _Parent, one: _Submodule, source: Source | None) -> str:
        """Say why a submodule is not even asked for; "" when it is."""
        if self.find_source is None:
            return "is a submodule, and CODEBOT_SUBMODULES is off"
        if not one.url:
            return "is a submodule without an address in .gitmodules"
        if parent.depth > DEEPEST or self._seen > MOST_SUBMODULES:
            return "is a submodule too many, or too deep"
        if not _is_harmless(one.name) or not _is_free(parent.tree, one.path):
            return "is a submodule with a name or a place that could do harm"
        return "" if source else f"is a submodule {_elsewhere(one.url)}"

    async def _fetch_and_fill(self, parent: _Parent, one: _Submodule, source: Source) -> str:
        """Put the recorded commit in its place; give the reason when it is not to be had."""
        reading, repository = _Reading(self.forge, source), source.repository
        try:
            mirror = await self.mirrors.refresh(repository, reading)
        except CloneFailed as error:
            if error.retry_after is not None:
                raise
            return f"is a submodule that could not be read from {repository.full_name}"
        if not self.mirrors.is_checked(mirror):
            return f"is a submodule, and {repository.full_name} is flawed"
        if not await self.mirrors.bring_commit(repository, reading, one.commit):
            return f"is a submodule at a commit that {repository.full_name} does not have"
        await put_in_place(
            self.git, mirror, one.commit, tree=parent.tree / one.path, own=_own_folder(parent, one)
        )
        with disk_errors(parent.own), (parent.own / "config").open("a") as config:
            config.write(f"[submodule {_quoted(one.name)}]\n\tactive = true\n")
            config.write(f"\turl = {_quoted(repository.url)}\n")
        return ""


async def put_in_place(git: Git, mirror: Path, commit: str, *, tree: Path, own: Path) -> None:
    """Check a commit out into the empty folder `tree`; `own` becomes its `.git`.

    It holds the objects of that commit alone, so that nothing else need be shown to a box.
    """
    with disk_errors(own):
        await git.init(own)
    listed = await git.run("rev-list", "--objects", "--no-walk", commit, cwd=mirror)
    ids = b"".join(line.partition(b" ")[0] + b"\n" for line in listed.stdout.split(b"\n") if line)
    await git.run(
        *("pack-objects", "--quiet", str(own / "objects" / "pack" / "pack")),
        cwd=mirror,
        stdin=ids,
        timeout=FILL_TIMEOUT,
    )
    with disk_errors(tree):
        _connect(tree, own, commit)
    await git.run("reset", "--quiet", "--hard", commit, cwd=own, work_tree=tree)


def _connect(tree: Path, own: Path, commit: str) -> None:
    """Let folder and repository find each other, and the history end at the commit."""
    (own / "shallow").write_text(f"{commit}\n")
    (own / "HEAD").write_text(f"{commit}\n")
    with (own / "config").open("a") as config:
        worktree = _quoted(os.path.relpath(tree, own))
        config.write(f"[core]\n\tbare = false\n\tworktree = {worktree}\n")
    (tree / ".git").write_text(f"gitdir: {os.path.relpath(own, tree)}\n")


def _read_modules(listing: bytes) -> Mapping[str, tuple[str, str]]:
    r"""Read `config -z --list` of a `.gitmodules`: path to name and address.

    >>> _read_modules(b"submodule.lib.path\nvendor/lib\0submodule.lib.url\n../lib.git\0")
    {'vendor/lib': ('lib', '../lib.git')}
    """
    found: dict[str, dict[str, str]] = {}
    for key, value in _settings(listing):
        if match := _KEY.fullmatch(key):
            found.setdefault(match["name"], {})[match["what"]] = value
    return {one["path"]: (name, one.get("url", "")) for name, one in found.items() if "path" in one}


def _settings(listing: bytes) -> Iterator[tuple[str, str]]:
    for record in listing.decode(errors=EXACT).split("\0"):
        key, _, value = record.partition("\n")
        yield key, value


def _own_folder(parent: _Parent, one: _Submodule) -> Path:
    """Say where a submodule's `.git` is; one name is one folder, whatever stands in it."""
    quoted = quote(one.name, safe="").replace(".", "%2E")
    if len(quoted) > LONGEST_FOLDER:
        quoted = hashlib.sha256(one.name.encode()).hexdigest()
    return parent.own / "modules" / quoted


def _is_harmless(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and ".." not in name.split("/")


def _is_free(tree: Path, path: str) -> bool:
    """Say whether a path leads, by folders alone, to the empty folder that a checkout makes."""
    place = tree
    for name in path.split("/"):
        place /= name
        try:
            if name in {"", ".", ".."} or not stat.S_ISDIR(place.lstat().st_mode):
                return False
        except OSError:
            return False
    return not any(place.iterdir())


def _elsewhere(url: str) -> str:
    """Say where an address leads that is not used; of what is no address, nothing is repeated."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return f"on another host ({host})" if _HOST.fullmatch(host) else "at an address not used here"


def _quoted(text: str) -> str:
    r"""Write a text as git's settings have it.

    >>> print(_quoted('a"b\\c'))
    "a\"b\\c"
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
