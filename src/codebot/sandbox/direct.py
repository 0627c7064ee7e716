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
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import structlog

from codebot.domain.box import BoxPaths, BoxSpec, Exit, ExitReason, Network
from codebot.domain.ports import Box, Finding
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox import processes
from codebot.sandbox.pipe import Pipe

log = structlog.get_logger(__name__)

MARK = "CODEBOT_BOX"
STDERR_TAIL = 8 * 1024
LONGEST_SWEEP = timedelta(seconds=10)
"""A process that SIGKILL does not end by then hangs in the kernel, and no waiting will help."""

QUIET_LOOKS = 2
"""In the midst of its `exec` a process shows no environment; the second look finds it."""

CANARY = "env; setsid sleep 60 </dev/null >/dev/null 2>&1 & echo started"


class DirectSandbox:
    """Starts commands on this machine. `mark` tells the boxes of this service from others'."""

    name = "none"

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

    async def start(self, spec: BoxSpec) -> Box:
        """Start the command; raises `SandboxError`, or `FileNotFoundError` for its program."""
        env = self._environment(spec)
        await asyncio.to_thread(_make_folder, Path(env["TMPDIR"]))
        return DirectBox(spec, env, self._variable(spec.task_id) + b"\0")

    async def reap(self, task_id: TaskId | None = None) -> int:
        """End what a crash left running, of one task or of all; say how many processes."""
        mark = self._variable(task_id or "") + (b"\0" if task_id else b"")
        family = await asyncio.to_thread(processes.Family, mark)
        return await _sweep(family)

    def _environment(self, spec: BoxSpec) -> dict[str, str]:
        return {
            "PATH": self._path,
            "HOME": str(spec.home),
            "USER": "codebot",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TMPDIR": str(spec.home / "tmp"),
            **spec.env,
            MARK: f"{self._mark}:{spec.task_id}",
        }

    def _variable(self, task_id: str) -> bytes:
        return os.fsencode(f"\0{MARK}={self._mark}:{task_id}")

    async def _try_to_outlive_a_box(self) -> Finding:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="codebot-check-"))
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
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        ok = ended == Exit(ExitReason.EXITED, 0) and b"started" in said and not survivors
        detail = "Commands end with everything they started." if ok else f"A trial ended {ended}."
        return Finding("sandbox", ok=ok, detail=detail, remedy="" if ok else "Is /proc mounted?")


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


class DirectBox:
    """A command and everything it starts."""

    def __init__(self, spec: BoxSpec, env: dict[str, str], mark: bytes) -> None:
        """Start it. The first of exit, `kill`, timeout and too much output ends the whole box."""
        loop = asyncio.get_running_loop()
        self._mark = mark
        self._room = spec.max_output
        self._end: asyncio.Future[ExitReason] = loop.create_future()
        self._tail = b""
        self._process, out, err = _spawn(spec, env)
        self._stdout = Pipe(out, self._count)
        self._stderr = Pipe(err, self._count)
        self._clock = loop.call_later(
            spec.timeout.total_seconds(), self._end_because, ExitReason.TIMEOUT
        )
        self._whole_life = asyncio.create_task(self._live())

    def stdout(self) -> AsyncIterator[bytes]:
        """Give stdout line by line, line ends included; a line may be many megabytes."""
        return self._stdout.lines()

    def stderr_tail(self) -> str:
        """Give the last 8 KiB of stderr so far, decoded leniently."""
        return self._tail.decode(errors="replace")

    async def wait(self) -> Exit:
        """Wait for the end; the same answer every time. Nothing of the box runs afterwards."""
        return await asyncio.shield(self._whole_life)

    async def interrupt(self) -> None:
        """Send SIGINT to the command itself: agents save their session on it."""
        self._signal(SIGINT, group=False)

    async def terminate(self) -> None:
        """Send SIGTERM to the command's process group."""
        self._signal(SIGTERM, group=True)

    async def kill(self) -> None:
        """End every process of the box now."""
        self._end_because(ExitReason.KILLED)
        await self.wait()

    async def _live(self) -> Exit:
        """Wait until something ends the box, sweep its processes away, and close its pipes."""
        reading = asyncio.create_task(self._keep_stderr_tail())
        family = processes.Family(self._mark, self._process.pid)
        try:
            reason = await self._wait_for_the_end()
            await _sweep(family)
        except asyncio.CancelledError:  # the event loop stops: no time for more than one look
            processes.kill(family.living())
            raise
        finally:
            self._clock.cancel()
            self._stdout.finish()
            self._stderr.finish()
            code = self._reap()
        await reading
        return Exit(reason, code)

    async def _wait_for_the_end(self) -> ExitReason:
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self._process.pid)
        loop.add_reader(descriptor, self._end_because, ExitReason.EXITED)
        try:
            return await self._end
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _reap(self) -> int:
        """Take the exit code of the command, dead by now, and only now let go of its pid."""
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return -SIGKILL

    async def _keep_stderr_tail(self) -> None:
        async for chunk in self._stderr.chunks():
            self._tail = (self._tail + chunk)[-STDERR_TAIL:]

    def _count(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            self._end_because(ExitReason.OUTPUT)

    def _end_because(self, reason: ExitReason) -> None:
        if not self._end.done():
            self._end.set_result(reason)

    def _signal(self, signal: Signals, *, group: bool) -> None:
        """Signal the command. Its pid is safe to use until it is reaped at the very end."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self._process.pid, signal)


async def _sweep(family: processes.Family) -> int:
    """Kill until nothing of the family is left; say how many processes there were."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + LONGEST_SWEEP.total_seconds()
    ended: set[int] = set()
    quiet_looks = 0
    while quiet_looks < QUIET_LOOKS:
        found = await asyncio.to_thread(family.living)
        quiet_looks = 0 if found else quiet_looks + 1
        ended |= found
        processes.kill(found)
        if found and clock() > deadline:
            log.error("box.survived", pids=sorted(found))
            break
        await asyncio.sleep(0.002)
    return len(ended)


def _spawn(spec: BoxSpec, env: dict[str, str]) -> tuple[subprocess.Popen[bytes], int, int]:
    """Start the command; give it with the reading ends of its stdout and stderr.

    Plain `subprocess` behaves the same under every event loop, and starts by `vfork`, whatever
    the service's size. It never waits for the command: that is the descriptor's work.
    """
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    stdin = _file_in_memory(spec.stdin)
    try:
        process = subprocess.Popen(  # noqa: S603 - running commands is what a sandbox is for
            spec.argv,
            stdin=stdin,
            stdout=out_writer,
            stderr=err_writer,
            cwd=spec.workspace,
            env=env,
            start_new_session=True,
            umask=0o022,
        )
    except (OSError, ValueError) as exc:
        os.close(out)
        os.close(err)
        if isinstance(exc, FileNotFoundError) and exc.filename != spec.workspace:
            raise
        raise SandboxError(f"{spec.argv[0]} cannot be started: {exc}.") from exc
    finally:
        for descriptor in (out_writer, err_writer, stdin):
            os.close(descriptor)
    return process, out, err


def _file_in_memory(content: bytes) -> int:
    """Give stdin as a file: it takes any size at once, whether the command reads it or not."""
    descriptor = os.memfd_create("stdin")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SandboxError(f"{folder} cannot be made: {exc.strerror}.") from exc
