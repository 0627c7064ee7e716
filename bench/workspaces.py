"""What a workspace costs where a template of its commit is there, and an environment below it."""

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median

from bench.box import PATH
from bench.measure import ROUNDS, Figure, Figures, milliseconds
from bench.repository import FLASK, SYMPY, make_repository
from codebot.domain.box import BoxSpec, Network
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.task import TaskId
from codebot.git.git import Git
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import find_bubblewrap
from codebot.workspace.folders import TaskFolders, folders_of
from codebot.workspace.limits import Limits
from codebot.workspace.means import Means
from codebot.workspace.shelf import Hold, Shelf, size_of
from codebot.workspace.standing import Standing
from codebot.workspace.template import Templates
from codebot.workspace.workspaces import Workspaces
from fakes.egress import NoEgress
from fakes.forge import MemoryForge

AT_ONCE = 16
TRIES = 9
KIB = 1024
WEIGHT, PARTS = 400 * KIB**2, 4000
"""Bytes of an environment, and in how many files they are."""


Place = tuple[TaskId, TaskFolders, tuple[Path, ...]]
"""A workspace: whose it is, its folders, and what lies below its tree."""


@dataclass
class Bench:
    """The parts that make workspaces, on a repository that was brought once."""

    folder: Path
    origin: Path
    made: int = 0
    held: list[Hold] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the parts."""
        self.git = Git(home=self.folder / "git-home")
        mark = str(self.folder)
        self.sandbox = BubblewrapSandbox(find_bubblewrap(), path=PATH, mark=mark, egress=NoEgress())
        self.templates = Templates(self.git, Shelf(self.folder / "templates"))
        self.where = self.folder / "work"

    async def begin(self) -> None:
        """Bring the repository, and have its template there."""
        spaces = Workspaces(
            *(self.git, self.sandbox),
            mirrors=self.folder / "mirrors",
            work_dir=self.where,
            limits=Limits(),
            means=Means.OVERLAY,
            templates=self.templates,
        )
        repository = Repository(
            ForgeKind.LOCAL, "localhost", "local", "origin", str(self.origin), self.origin
        )
        first = await spaces.prepare(
            TaskId("first"), repository, None, MemoryForge(), work_branch="x"
        )
        self.mirror, self.commit = first.mirror, first.base_commit

    def empty(self) -> Place:
        """Give a workspace with nothing in it."""
        self.made += 1
        task_id = TaskId(f"bench-{self.made}")
        folders = folders_of(self.where, task_id)
        folders.make()
        return task_id, folders, ()

    async def stand(self) -> Place:
        """Give a new workspace."""
        task_id, folders, _ = self.empty()
        standing = Standing(self.templates, Means.OVERLAY, folders, self.held.append)
        standing.begin()
        return task_id, folders, await standing.stand(self.mirror, "main", self.commit)

    async def run(self, place: Place, command: str, *home: Path) -> None:
        """Run a command in a box on a workspace, with these below its HOME."""
        task_id, folders, layers = place
        spec = BoxSpec(
            task_id=task_id,
            argv=("sh", "-c", command),
            workspace=folders.tree,
            home=folders.home,
            network=Network.NONE,
            timeout=timedelta(seconds=60),
            layers=layers,
            home_layers=home,
            read_only=(self.mirror,),
        )
        box = await self.sandbox.start(spec)
        async for _ in box.stdout():
            pass
        if (ended := await box.wait()).code != 0:
            raise RuntimeError(f"{ended}: {box.stderr_tail()}")

    def clone(self) -> float:
        """Time what stands in the place of all this elsewhere: a clone that shares objects."""
        began = time.perf_counter()
        target = self.folder / "clone"
        words = ("git", "clone", "-q", "--shared", "--template=", str(self.mirror), str(target))
        subprocess.run((*words, "--branch", "main"), check=True)
        took = time.perf_counter() - began
        subprocess.run(("rm", "-rf", str(target)), check=True)
        return took


def measure(folder: Path) -> Figures:
    """Measure in a repository of flask's size, and in one of sympy's."""
    logging.disable(logging.INFO)
    for name, files in (("flask", FLASK), ("sympy", SYMPY)):
        top = folder / name
        top.mkdir()
        yield from asyncio.run(_measure(top, name, files))


async def _measure(folder: Path, name: str, files: int) -> list[Figure]:
    bench = Bench(folder, make_repository(folder / "origin.git", files))
    await bench.begin()
    rounds = [await _round(bench) for _ in range(ROUNDS)]
    heaviest = max(size_of(each.parent) for each in bench.where.glob("bench-*/tree")) / KIB
    many = [await _timed(_at_once(bench)) for _ in range(ROUNDS)]
    await asyncio.to_thread(_make_weight, folder / "weight")
    with_weight = [await _with_environment(bench, folder / "weight") for _ in range(ROUNDS)]
    for hold in bench.held:
        hold.release()
    clone = milliseconds(median(each.clone for each in rounds))

    def figure(words: str, target: float, of: Callable[[_Round], float], note: str = "") -> Figure:
        values = [milliseconds(of(each)) for each in rounds]
        return Figure(f"{name}-sized: {words}", values, target, "ms", note=note)

    return [
        figure("warm workspace, mount included", 20, lambda each: each.ready),
        Figure(f"{name}-sized: a shared clone / that", [each.clone / each.ready for each in rounds],
               20, at_least=True, note=f"the clone: {clone:.0f} ms"),
        figure("box and first git status", 350, lambda each: each.status),
        Figure(f"{name}-sized: {AT_ONCE} workspaces", many, 0.5, "s"),
        Figure(f"{name}-sized: disk of each", [heaviest], KIB, "KiB"),
        Figure(f"{name}-sized: box with 400 MB below / without", with_weight, 150, "ms"),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Round:
    """Seconds: until a workspace is there and mounted, a shared clone, a box with a status."""

    ready: float
    clone: float
    status: float


async def _round(bench: Bench) -> _Round:
    """Measure by turns. What a mount takes is what a box with one takes longer than one without."""
    stands, mounted, plain, clones, statuses = [], [], [], [], []
    for _ in range(TRIES):
        began = time.perf_counter()
        place = await bench.stand()
        stands.append(time.perf_counter() - began)
        mounted.append(await _timed(bench.run(place, "true")))
        plain.append(await _timed(bench.run(bench.empty(), "true")))
        statuses.append(await _timed(bench.run(await bench.stand(), "git status --porcelain")))
        clones.append(await asyncio.to_thread(bench.clone))
    mount = max(median(mounted) - median(plain), 0)
    return _Round(median(stands) + mount, median(clones), median(statuses))


async def _at_once(bench: Bench) -> None:
    await asyncio.gather(*(bench.stand() for _ in range(AT_ONCE)))


async def _with_environment(bench: Bench, weight: Path) -> float:
    """Give how many milliseconds longer a box takes that has an environment below its HOME."""
    without, with_it = [], []
    for _ in range(TRIES):
        without.append(await _timed(bench.run(await bench.stand(), "true")))
        with_it.append(await _timed(bench.run(await bench.stand(), "true", weight)))
    return milliseconds(median(with_it) - median(without))


def _make_weight(weight: Path) -> None:
    for number in range(PARTS):
        part = weight / f"part{number % 100}" / str(number)
        part.parent.mkdir(exist_ok=True, parents=True)
        part.write_bytes(os.urandom(WEIGHT // PARTS))


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began
