"""What a box costs: against a plain process, and against work outside of it."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

from bench.measure import ROUNDS, Figure, Figures, milliseconds
from codebot.domain.box import BoxSpec, Network
from codebot.domain.ports import Sandbox
from codebot.domain.task import TaskId
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.program import find_bubblewrap
from fakes.egress import NoEgress

BOXES = 20
RUNS = 5
FILES = 4000
PATH = "/usr/local/bin:/usr/bin:/bin"
IO_LOOP = f"""
import os, time
began = time.perf_counter()
for number in range({FILES}):
    name = f"file-{{number}}"
    with open(name, "w") as file:
        file.write("x" * 1000)
    with open(name) as file:
        file.read()
    os.unlink(name)
print(time.perf_counter() - began)
"""
"""Writes, reads and removes files, as a build or a checkout does, and says how long it took."""


def measure(folder: Path) -> Figures:
    """Start boxes, one at a time and many at once, work in them, and end them."""
    return iter(asyncio.run(_measure(folder)))


async def _measure(folder: Path) -> list[Figure]:
    for name in ("tree", "home"):
        (folder / name).mkdir(mode=0o700)
    plain = DirectSandbox(path=PATH, mark=str(folder))
    boxed = BubblewrapSandbox(find_bubblewrap(), path=PATH, mark=str(folder), egress=NoEgress())
    unstaged = BubblewrapSandbox(
        find_bubblewrap(),
        path=PATH,
        mark=str(folder),
        egress=NoEgress(),
        user_of=lambda _: None,  # as for an ordinary user, whose folders need no staging
    )

    async def start(sandbox: Sandbox, network: Network = Network.NONE) -> float:
        return await _timed(lambda: _run(sandbox, folder, ("true",), network))

    bare = [await _many(_spawn_plainly) for _ in range(ROUNDS)]
    alone = [await _many(lambda: start(unstaged)) for _ in range(ROUNDS)]
    whole = [await _many(lambda: start(boxed, Network.REGISTRIES)) for _ in range(ROUNDS)]
    at_once = [await _timed(lambda: _twenty(boxed, folder)) for _ in range(ROUNDS)]
    ends = [await _many(lambda: _time_kill(boxed, folder)) for _ in range(ROUNDS)]
    work = [await _compare_work(plain, boxed, folder) for _ in range(ROUNDS)]
    base = median(bare)
    return [
        Figure("box start, over a plain spawn: median", _over(alone, base), 15, "ms"),
        Figure("box, staging and shim: median", _over(whole, 0), 70, "ms"),
        Figure(f"{BOXES} boxes at once", at_once, 2, "s"),
        Figure(f"{FILES} files written and read, in a box / outside", work, 1.1),
        Figure("kill to an empty pid namespace: median", _over(ends, 0), 100, "ms"),
    ]


def _over(rounds: list[float], base: float) -> list[float]:
    return [milliseconds(seconds - base) for seconds in rounds]


async def _many(measured: Callable[[], Awaitable[float]]) -> float:
    return median([await measured() for _ in range(BOXES)])


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def _run(sandbox: Sandbox, folder: Path, argv: tuple[str, ...], network: Network) -> bytes:
    """Give what a command in a box says."""
    box = await sandbox.start(_spec(folder, argv, network))
    said = b"".join([line async for line in box.stdout()])
    ended = await box.wait()
    if ended.code != 0:
        raise RuntimeError(f"{ended}: {box.stderr_tail()}")
    return said


async def _spawn_plainly() -> float:
    """Time what a program of the standard library would do without any sandbox."""
    began = time.perf_counter()
    subprocess.run(["/bin/true"], env={}, check=True)  # noqa: ASYNC221 - nothing else runs
    return time.perf_counter() - began


async def _twenty(sandbox: Sandbox, folder: Path) -> None:
    runs = [_run(sandbox, folder, ("true",), Network.REGISTRIES) for _ in range(BOXES)]
    await asyncio.gather(*runs)


async def _time_kill(sandbox: Sandbox, folder: Path) -> float:
    script = "for n in 1 2 3 4 5; do setsid sleep 60 & done; echo up; wait"
    box = await sandbox.start(_spec(folder, ("sh", "-c", script), Network.NONE))
    await anext(box.stdout())
    return await _timed(box.kill)


async def _compare_work(plain: Sandbox, boxed: Sandbox, folder: Path) -> float:
    """Give the ratio of the least disturbed run of each: what else the machine does only adds."""
    argv = ("python3", "-ISs", "-c", IO_LOOP)
    times: dict[Sandbox, list[float]] = {plain: [], boxed: []}
    for _ in range(RUNS):  # turn by turn: the machine is shared
        for sandbox, taken in times.items():
            taken.append(float(await _run(sandbox, folder, argv, Network.NONE)))
    return min(times[boxed]) / min(times[plain])


def _spec(folder: Path, argv: tuple[str, ...], network: Network) -> BoxSpec:
    return BoxSpec(
        task_id=TaskId("bench"),
        argv=argv,
        workspace=folder / "tree",
        home=folder / "home",
        network=network,
        timeout=timedelta(seconds=60),
    )
