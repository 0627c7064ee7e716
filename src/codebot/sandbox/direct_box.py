"""A command that runs on this machine, with everything it starts."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from signal import SIGINT, SIGKILL, SIGTERM, Signals

from codebot.domain.box import BoxSpec, Exit, ExitReason
from codebot.errors import SandboxError
from codebot.sandbox.pipe import Pipe
from codebot.sandbox.processes import Family, kill, sweep

STDERR_TAIL = 8 * 1024


class DirectBox:
    """A command and everything it starts."""

    def __init__(self, spec: BoxSpec, env: Mapping[str, str], mark: bytes) -> None:
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
        """Give the last 8 KiB of stderr so far, decoded leniently, whole lines where it was cut."""
        is_cut = len(self._tail) == STDERR_TAIL
        tail = self._tail.partition(b"\n")[2] or self._tail if is_cut else self._tail
        return tail.decode(errors="replace")

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
        family = Family(self._mark, self._process.pid)
        try:
            reason = await self._wait_for_the_end()
            await sweep(family)
        except asyncio.CancelledError:  # the event loop stops: no time for more than one look
            kill(family.living())
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


def _spawn(spec: BoxSpec, env: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int, int]:
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
        raise SandboxError(f"{spec.argv[0]} cannot be started: {_reason(exc)}.") from exc
    finally:
        for descriptor in (out_writer, err_writer, stdin):
            os.close(descriptor)
    return process, out, err


def _reason(error: OSError | ValueError) -> str:
    """Give the fact alone: the folder or program that is in the way, and what is wrong with it."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return "its arguments hold a NUL"


def _file_in_memory(content: bytes) -> int:
    """Give stdin as a file: it takes any size at once, whether the command reads it or not."""
    descriptor = os.memfd_create("stdin")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
