"""No box at all: the command runs on this machine as the service's own user.

It has an environment of its own and ends with everything that it started, and that is all: it
can read and write what the service can, and nothing bounds its memory, disk and processes. For
trusted repositories, tests, and machines that are themselves the box.

Nothing is asked of the kernel for the case that the service itself is killed (PDEATHSIG reaches
only the first process, not the sessions that Claude Code gives to its commands, and fires when
the *thread* that started it ends). The gateway dies with the service, so an orphaned agent
reaches no model any more; `reap` at the next start ends it by its mark.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL, Signals
from uuid import uuid4

from codebot.domain.box import BoxPaths, BoxSpec, Exit, ExitReason, Network
from codebot.domain.ports import Box, Finding
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox.disk import has_room
from codebot.sandbox.held_folder import held_folder
from codebot.sandbox.marks import MARK, mark_of, reap_marked, short_mark, variable
from codebot.sandbox.processes import Family, send, sweep
from codebot.sandbox.room import not_written
from codebot.sandbox.running import RunningBox
from codebot.sandbox.spawn import Process, spawn
from codebot.sandbox.surroundings import variables

LEAST_SPACE, LEAST_FILES = 1024**2, 100
"""Bytes and files: with less, a disk is full to whoever writes."""

CANARY = "env; setsid sleep 60 </dev/null >/dev/null 2>&1 & echo started"


class DirectSandbox:
    """Starts commands on this machine. `mark` tells the boxes of this service from others'."""

    name = "none"
    paths_are_fixed = False

    def __init__(self, *, path: str, mark: str) -> None:
        """Give commands `path` as their PATH; `mark` must be the same after a restart."""
        self._path = path
        self._mark = mark

    async def check(self) -> Sequence[Finding]:
        """Run a command that leaves a daemon behind, and tell what this sandbox cannot do."""
        return [await self._try_to_outlive_a_box(), _WHAT_IS_MISSING]

    def paths(self, workspace: Path, home: Path) -> BoxPaths:
        """Give the folders themselves."""
        return BoxPaths(workspace, home)

    def has(self, program: str) -> bool:
        """Say whether commands find a program of this name on their PATH."""
        return self.find(program) is not None

    def find(self, program: str) -> Path | None:
        """Give the program of this name that commands find on their PATH, None where none is."""
        found = shutil.which(program, path=self._path)
        return None if found is None else Path(found)

    def has_room(self, folder: Path) -> bool:
        """Say whether there is any room: nothing bounds what commands take of it."""
        return has_room(folder, space=LEAST_SPACE, files=LEAST_FILES)

    async def start(self, spec: BoxSpec) -> Box:
        """Start the command; raises `SandboxError`, or `FileNotFoundError` for its program."""
        if spec.layers or spec.home_layers:
            raise SandboxError("Without a box nothing can be laid below a folder.")
        box = uuid4().hex  # a task may have several at once, and each ends alone
        env = self._environment(spec, box)
        await asyncio.to_thread(_make_folder, Path(env["TMPDIR"]))
        spawned = spawn(spec.argv, cwd=spec.workspace, env=env, stdin=spec.stdin)
        return RunningBox(
            spec, spawned, _Marked(spawned.process, variable(self._mark, spec.task_id, box))
        )

    async def reap(self, task_id: TaskId | None = None) -> int:
        """End what a crash left running, of one task or of all; say how many processes."""
        return await reap_marked(self._mark, task_id)

    def _environment(self, spec: BoxSpec, box: str) -> dict[str, str]:
        return {
            **variables(path=":".join((*spec.path, self._path)), home=spec.home),
            "TMPDIR": str(spec.home / "tmp"),
            **spec.env,
            MARK: mark_of(self._mark, spec.task_id, box),
        }

    async def _try_to_outlive_a_box(self) -> Finding:
        with held_folder(f"codebot-check-{short_mark(self._mark)}-") as folder:
            return await self._try_in(folder)

    async def _try_in(self, folder: Path) -> Finding:
        spec = BoxSpec(
            task_id=TaskId(folder.name),
            argv=("/bin/sh", "-c", CANARY),
            workspace=folder,
            home=folder,
            network=Network.NONE,
            timeout=timedelta(seconds=10),
        )
        try:
            box = await self.start(spec)
            said = b"".join([line async for line in box.stdout()])
            ended = await box.wait()
            survivors = await self.reap(spec.task_id)
        except (FileNotFoundError, SandboxError) as exc:
            return Finding("sandbox", ok=False, detail=f"No command can be started: {exc}")
        ok = ended == Exit(ExitReason.EXITED, 0) and b"started" in said and not survivors
        detail = "Commands end with everything they started." if ok else f"A trial ended {ended}."
        return Finding("sandbox", ok=ok, detail=detail, remedy="" if ok else "Is /proc mounted?")


class _Marked:
    """Processes told by a mark in their environment, and by what the marked ones brought up."""

    def __init__(self, process: Process, mark: bytes) -> None:
        self._pid = process.pid
        self._family = Family(mark, process.pid)

    def signal(self, signal: Signals, *, group: bool) -> None:
        (os.killpg if group else os.kill)(self._pid, signal)

    def kill(self) -> None:
        send(SIGKILL, self._family.look().living)

    async def sweep(self) -> None:
        await sweep(self._family)

    def judge(self, ended: Exit) -> Exit:
        return ended


_WHAT_IS_MISSING = Finding(
    name="isolation",
    ok=False,
    detail=(
        "The sandbox is off: agents and tests run as this user, with its files and network, "
        "and without limits on memory, disk, processes and CPU; a daemon that drops its "
        "environment, its session and its parents outlives its task."
    ),
    remedy="Use it for trusted repositories only, or on a machine that holds nothing else.",
    required=False,
)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise not_written(exc, folder, f"{folder} cannot be made: {exc.strerror}.") from exc
