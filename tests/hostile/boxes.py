"""Runs the attempts outside and inside of boxes, as whoever starts it; tells what came of them.

    CANARY=... python boxes.py MARKER [own-network]

It stands for the service: its environment and its command line hold what no box may see. It reads
one order a line and answers each with a line of JSON; the first line tells about the host.
"""

import asyncio
import gc
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from codebot.domain.box import ExitReason
from codebot.domain.ports import Box
from codebot.domain.task import TaskId
from codebot.sandbox import watch
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.fork_server import ForkServer, Order
from codebot.sandbox.identity import box_user
from codebot.sandbox.surroundings import HOME
from codebot.workspace.folders import delete_folder
from hostile.greed import GREEDY, MAX_OUTPUT, limits_for
from hostile.leaky import OTHER, LeakySandbox, Mutation, a_spec, dyed_calls, living
from hostile.world import Host, open_host

PYTHON = ("python3", "-IBSs", "-")
ATTEMPTS = Path(__file__).with_name("attempts")
LONGEST_DEATH = 3.0
QUIET = 0.3
"""How long nothing must have changed before it counts as what is always there."""
LONGEST_GREED = 60.0
SHORTEST_GREED = 2.0
"""For what a limit refuses, and the program then goes on asking for: its clock ends it."""
LEAK = {"LEAKED": "yes"}


@dataclass
class Runner:
    """Carries out the orders on one host."""

    host: Host
    folder: Path
    made: list[Path] = field(default_factory=list)

    async def outside(self) -> dict[str, Any]:
        """Run the attempts with nothing around."""
        place = self._place()
        done = subprocess.run(  # noqa: ASYNC221 - nothing else goes on
            [sys.executable, *PYTHON[1:]],
            input=program(self.host.told(looks=False), place / "home"),
            cwd=place / "tree",
            capture_output=True,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    async def inside(self, *, layered: bool = False, **lacks: Any) -> dict[str, Any]:
        """Run them in a box, and look for set-id files in its workspace afterwards."""
        place = self._place(layered=layered)
        sandbox = LeakySandbox(Mutation(**lacks), str(self.folder))
        seen = await self._run(sandbox, place, self.host.told(looks=True))
        seen["options"] = [" ".join(option) for option in sandbox.told]
        seen["limits"] = sandbox.limiting_words(a_spec(place, "true"))
        found = [str(path) for path in place.rglob("*") if path.lstat().st_mode & 0o6000]
        return seen | {"set-id files": found}

    async def dyed(self, **lacks: Any) -> dict[str, Any]:
        """Make every refused call in a box whose rules can be told from one another."""
        calls = list(dyed_calls())
        asked = [(number, arguments) for _, number, arguments, _ in calls]
        sandbox = LeakySandbox(Mutation(**lacks), str(self.folder), dyed=True)
        told = await self._run(sandbox, self._place(), self.host.told(looks=True, asked=asked))
        answers = told.get("facts", {}).get("answers") or [0] * len(calls)
        passed = [
            (name, f"call {number} {arguments}")
            for (name, number, arguments, expected), answer in zip(calls, answers, strict=True)
            if answer != expected
        ]
        return {"passed": passed, "tried": len(calls)}

    async def leaking(self, **lacks: Any) -> dict[str, Any]:
        """Run them with something in the environment of bwrap itself."""
        with _orders(lambda order: replace(order, env={**order.env, **LEAK})):
            return await self.inside(**lacks)

    async def networkless(self) -> dict[str, Any]:
        """Run them in a box whose launcher has forgotten the network."""
        with _orders(lambda order: replace(order, network=False)):
            return await self.inside()

    async def survivors(self, **lacks: Any) -> dict[str, Any]:
        """Start a box from another process, end that with SIGKILL, and count what is left."""
        order = json.dumps({"folder": str(self._place()), "lacks": lacks})
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "doomed", order),
            env=dict(os.environ),
            stdout=subprocess.PIPE,
        )
        assert other.stdout
        nap = json.loads(await other.stdout.readline())
        other.kill()
        await other.wait()
        left = living(nap)
        until = asyncio.get_running_loop().time() + LONGEST_DEATH
        while left and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
            left = living(nap)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return {"nap": nap, "left": left}

    async def over_layers(self, script: str, plant: str = "") -> dict[str, Any]:
        """Run a shell script in a box with layers; give what it said and what the layers became.

        `plant` runs first, in a box without them, over the folders that are written into.
        """
        place = self._place(layered=True)
        before = fingerprints(place)
        sandbox = LeakySandbox(Mutation(), str(self.folder))
        spec = a_spec(place, "bash", "-c", plant)
        if plant:
            await _said(await sandbox.start(replace(spec, layers=(), home_layers=())))
        spec = a_spec(place, "bash", "-c", script, SECRET=self.host.secret)
        said = await _said(await sandbox.start(spec))
        again = await _said(await sandbox.start(spec))
        left = [path.name for path in place.iterdir() if path.suffix == ".scratch"]
        is_whole = before == fingerprints(place)
        return {"said": said, "again": again, "whole": is_whole, "left": left}

    async def at_once(self, count: int, *, layered: bool = False) -> dict[str, Any]:
        """Run so many boxes at once, kill half and stop the others, and count what they leave."""
        sandbox = LeakySandbox(Mutation(), str(self.folder))
        await (await sandbox.start(a_spec(self._place(), "true"))).wait()
        before = await settled()
        begun = time.monotonic()
        nap = f"49.{secrets.randbelow(10**9):09}"
        script = f"(setsid sleep {nap} &); touch ~/was-here; echo up; sleep {nap}"
        places = [self._place(layered=layered) for _ in range(count)]
        boxes = [
            await sandbox.start(a_spec(place, "sh", "-c", script, task_id=TaskId(f"{n}")))
            for n, place in enumerate(places)
        ]
        up = [await anext(box.stdout()) for box in boxes]
        seconds = time.monotonic() - begun
        async with asyncio.timeout(10):
            while len(living(nap)) < 2 * count:  # noqa: ASYNC110 - started by other processes
                await asyncio.sleep(0.01)
        await asyncio.gather(*(box.kill() for box in boxes[::2]))
        await asyncio.gather(*(box.terminate() for box in boxes[1::2]))
        await asyncio.gather(*(box.wait() for box in boxes))
        after, until = holdings(), time.monotonic() + LONGEST_DEATH
        while after != before and time.monotonic() < until:  # a thread watches its neighbour
            await asyncio.sleep(0.01)
            after = holdings()
        return {
            "up": len(up),
            "seconds": seconds,
            "living": living(nap),
            "before": before,
            "after": after,
        }

    async def greedy(self, name: str, *, layered: bool = False) -> dict[str, Any]:
        """Run a program that takes more than it may, and see whether this service goes on."""
        source, expected = GREEDY[name]
        watch.DISK_FIRST = watch.DISK_PAUSE = 0.2
        limits = limits_for(name)
        sandbox = LeakySandbox(Mutation(), str(self.folder), limits=limits)
        spec = a_spec(self._place(layered=layered), *PYTHON, stdin=source.encode())
        is_refused = expected is ExitReason.TIMEOUT
        clock = timedelta(seconds=SHORTEST_GREED if is_refused else LONGEST_GREED)
        box = await sandbox.start(replace(spec, timeout=clock, max_output=MAX_OUTPUT))
        reading = asyncio.create_task(read_all(box))
        waiting = asyncio.create_task(box.wait())
        longest, most = 0.0, 0
        while not waiting.done():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)
            most = max(most, len(processes()))
        await reading
        ended = await waiting
        return {"reason": ended.reason, "longest": longest, "most": most}

    async def _run(
        self, sandbox: BubblewrapSandbox, place: Path, world: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(40):
                box = await sandbox.start(a_spec(place, *PYTHON, stdin=program(world, HOME)))
                said = b"".join([line async for line in box.stdout()])
                ended = await box.wait()
            answer: dict[str, Any] = json.loads(said)
        except Exception as error:  # noqa: BLE001 - a box that does not work is an answer, too
            return {"broken": f"{type(error).__name__}: {error}"[:300]}
        return answer | {"code": ended.code}

    def _place(self, *, layered: bool = False) -> Path:
        place = self.folder / f"place-{len(self.made)}"
        self.made.append(place)
        for name in ("tree", "home"):
            (place / name).mkdir(parents=True, mode=0o700)
        left_out = shutil.ignore_patterns("__pycache__")
        home = place / ("home-layer" if layered else "home")
        shutil.copytree(ATTEMPTS, home / "attempts", ignore=left_out)
        if layered:
            (place / "layer" / "folder").mkdir(parents=True)
            (place / "layer" / "folder" / "file").write_text("of the layer")
            (place / "layer" / "other").write_text("another")
        return place


@contextmanager
def _orders(change: Callable[[Order], Order]) -> Iterator[None]:
    """Let the launcher be ordered something else than the sandbox meant."""
    fork = ForkServer.fork
    ForkServer.fork = lambda self, order, *given, **more: fork(  # type: ignore[method-assign]
        self, change(order), *given, **more
    )
    try:
        yield
    finally:
        ForkServer.fork = fork  # type: ignore[method-assign]


def program(world: Mapping[str, Any], folder: Path | str) -> bytes:
    """Give a program that makes the attempts, which lie in this folder, on this world."""
    told = f"json.loads({json.dumps(world)!r})"
    return f"import json, sys\nsys.path.insert(0, {str(folder)!r})\n".encode() + (
        f"from attempts import main\nmain({told})\n".encode()
    )


async def _said(box: Box) -> str:
    said = b"".join([line async for line in box.stdout()]).decode()
    ended = await box.wait()
    return f"{said}{box.stderr_tail()}{ended.reason} {ended.code}"


def fingerprints(place: Path) -> dict[str, Any]:
    """Give all that can be told of the files of a place's layers."""
    found: dict[str, Any] = {}
    for name in ("layer", "home-layer"):
        for path in sorted((place / name).rglob("*")):
            seen = path.lstat()
            attributes = {key: os.getxattr(path, key) for key in os.listxattr(path)}
            content = path.read_bytes() if path.is_file() else b""
            told = (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_nlink, seen.st_mtime_ns)
            found[str(path)] = (told, attributes, content)
    return found


def processes() -> list[Path]:
    """Give every process of the host."""
    return list(Path("/proc").glob("[0-9]*"))


def namespaces() -> dict[str, int]:
    """Give the namespaces of this process."""
    return {path.name: path.stat().st_ino for path in Path("/proc/self/ns").iterdir()}


def holdings() -> dict[str, Any]:
    """Give what this process holds: mounts, descriptors, children."""
    return {
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
    }


async def settled() -> dict[str, Any]:
    """Give what this process holds once boxes of earlier orders have let go of what was theirs."""
    gc.collect()
    held, since = holdings(), time.monotonic()
    while time.monotonic() < since + QUIET:
        await asyncio.sleep(0.01)
        now = holdings()
        if now != held:
            held, since = now, time.monotonic()
    return held


async def read_all(box: Box) -> None:
    """Read what a box says and forget it."""
    async for _ in box.stdout():
        pass


@asynccontextmanager
async def neighbour(host: Host) -> AsyncIterator[dict[str, Any]]:
    """Let the box of another task run, and give who it is on the host."""
    sandbox = LeakySandbox(Mutation(), f"{host.folder}-other")
    place = Path(host.other_tree).parent
    box = await sandbox.start(
        a_spec(place, "sleep", host.other_nap, task_id=OTHER, CANARY=host.canary)
    )
    try:
        yield {"users": users_of(living(host.other_nap)), "expected": box_user(OTHER)}
    finally:
        await box.kill()


def users_of(pids: Sequence[int]) -> list[str]:
    """Give users and groups of processes, as the host counts them."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sorted({line for line in lines if line.startswith(("Uid:", "Gid:", "Groups:"))})


async def obey(folder: Path, host: Host) -> None:
    """Tell about the host, then carry out one order after the other."""
    runner = Runner(host, folder)
    orders: Mapping[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
        "inside": runner.inside,
        "dyed": runner.dyed,
        "leaking": runner.leaking,
        "networkless": runner.networkless,
        "survivors": runner.survivors,
        "over_layers": runner.over_layers,
        "at_once": runner.at_once,
        "greedy": runner.greedy,
    }
    async with neighbour(host) as other:
        tell(
            {
                "host": host.told(looks=False),
                "namespaces": namespaces(),
                "neighbour": other,
                "outside": (await runner.outside())["attempts"],
            }
        )
        for line in iter(sys.stdin.readline, ""):
            order = json.loads(line)
            tell(await orders[order["do"]](**order["with"]))


@cache
def answers() -> int:
    """Keep stdout for answers: from now on, what is logged goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def tell(answer: object) -> None:
    """Answer with one line."""
    with open(answers(), "w", closefd=False) as file:
        file.write(json.dumps(answer) + "\n")


async def be_doomed(order: Mapping[str, Any]) -> None:
    """Start a box that leaves a daemon, say so, and wait for the end."""
    folder = Path(order["folder"])
    nap = f"48.{secrets.randbelow(10**9):09}"
    sandbox = LeakySandbox(Mutation(**order["lacks"]), f"{folder}-doomed")
    script = f"(setsid sleep {nap} &); echo up; sleep {nap}; true"
    box = await sandbox.start(a_spec(folder, "sh", "-c", script))
    await anext(box.stdout())
    tell(nap)
    await box.wait()


def main(words: Sequence[str]) -> None:
    """Make a host and take orders, or be the service that is killed."""
    answers()
    if words[0] == "doomed":
        asyncio.run(be_doomed(json.loads(words[1])))
        return
    folder = Path(tempfile.mkdtemp(prefix="codebot-hostile-"))
    try:
        with open_host(folder, words[0], own_network="own-network" in words) as host:
            asyncio.run(obey(folder, host))
    finally:
        delete_folder(folder)  # too deep for Python by now


if __name__ == "__main__":
    main(sys.argv[1:])
