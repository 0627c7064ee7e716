"""New repositories, as `git init` makes them, without a process for each.

Every task gets several. What git puts into one is read once, from one that it made, and written
again: an empty repository is a handful of folders and small files.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

Run = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What a new repository consists of: folders, and files with their content."""

    folders: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]

    def write(self, place: Path, branch: str | None) -> None:
        """Make a repository on `branch`, or on the branch that git chooses, at `place`."""
        place.mkdir(parents=True, exist_ok=True)
        for folder in self.folders:
            (place / folder).mkdir()
        for name, content in self.files:
            (place / name).write_bytes(content)
        if branch is not None:
            (place / "HEAD").write_text(f"ref: refs/heads/{branch}\n")


class Skeletons:
    """Makes repositories; git is asked once for each kind, in a folder of the service's own."""

    def __init__(self, run: Run, folder: Path) -> None:
        """Ask git by `run`; what it makes of the file system of `folder` goes for all."""
        self._run = run
        self._folder = folder
        self._known: dict[bool, Skeleton] = {}

    async def make(self, place: Path, *, bare: bool, branch: str | None) -> None:
        """Make a repository at `place`, the folder of a bare one or a tree's `.git`.

        Raises `GitFailed`, and `OSError` for what cannot be written.
        """
        if bare not in self._known:
            self._known[bare] = await self._ask(bare=bare)
        await asyncio.to_thread(self._known[bare].write, place, branch)

    async def _ask(self, *, bare: bool) -> Skeleton:
        with TemporaryDirectory(prefix="init-", dir=self._folder) as folder:
            words = ("--bare",) if bare else ()
            await self._run("init", "--quiet", "--template=", *words, "--", folder)
            return _read(Path(folder) if bare else Path(folder) / ".git")


def _read(made: Path) -> Skeleton:
    found = sorted((path.relative_to(made), path) for path in made.rglob("*"))
    return Skeleton(
        tuple(str(name) for name, path in found if path.is_dir()),
        tuple((str(name), path.read_bytes()) for name, path in found if path.is_file()),
    )
