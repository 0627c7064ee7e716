"""A command that runs, from its start to the end of everything it started."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Protocol

from codebot.domain.box import Bound, BoxSpec, Exit, ExitReason
from codebot.sandbox.pipe import Pipe
from codebot.sandbox.spawn import Spawned

STDERR_TAIL = 8 * 1024


class Cage(Protocol):
    """What holds the processes of one box together: how they are reached, and ended."""

    def signal(self, signal: Signals, *, group: bool) -> None:
        """Send a signal to the command itself, or to its process group."""
        ...

    def kill(self) -> None:
        """Send SIGKILL to everything, without waiting."""
        ...

    async def sweep(self) -> None:
        """End everything; nothing of the box runs any more when this returns."""
        ...

    def judge(self, ended: Exit) -> Exit:
        """Give how the command ended, when the box's first process ended so."""
        ...


class RunningBox:
    """A command and everything it starts: the `Box` of every sandbox that has processes here."""

    def __init__(self, spec: BoxSpec, spawned: Spawned, cage: Cage) -> None:
        """Own them. The first of exit, `end`, timeout and too much output ends the whole box."""
        loop = asyncio.get_running_loop()
        self._process = spawned.process
        self._cage = cage
        self._room = spec.max_output
        self._end: asyncio.Future[ExitReason] = loop.create_future()
        self._reached: Bound | None = None
        self._tail = b""
        self._stdout = Pipe(spawned.stdout, self._count)
        self._stderr = Pipe(spawned.stderr, self._count)
        self._clock = loop.call_later(spec.timeout.total_seconds(), self.end, ExitReason.TIMEOUT)
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
        self.end(ExitReason.KILLED)
        await self.wait()

    def end(self, reason: ExitReason) -> None:
        """Let the box end for this reason, unless it is ending already."""
        if not self._end.done():
            self._end.set_result(reason)

    def reach(self, bound: Bound) -> None:
        """Take note that the box was seen at a bound; the first counts."""
        self._reached = self._reached or bound

    async def _live(self) -> Exit:
        """Wait until something ends the box, sweep its processes away, and close its pipes."""
        reading = asyncio.create_task(self._keep_stderr_tail())
        try:
            reason = await self._wait_for_the_end()
            if reason is not ExitReason.EXITED:  # a flood goes on while others are looked for
                self._signal(SIGKILL, group=True)
            await self._cage.sweep()
        except asyncio.CancelledError:  # the event loop stops: no time for more than one look
            self._cage.kill()
            raise
        finally:
            self._clock.cancel()
            self._stdout.finish()
            self._stderr.finish()
            code = self._reap()
        await reading
        ended = self._cage.judge(Exit(reason, code))
        return replace(ended, reached=ended.reached or self._reached)

    async def _wait_for_the_end(self) -> ExitReason:
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self._process.pid)
        loop.add_reader(descriptor, self.end, ExitReason.EXITED)
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
            self.end(ExitReason.OUTPUT)

    def _signal(self, signal: Signals, *, group: bool) -> None:
        """Signal the command. The box's first pid is not reused until it is reaped at the end."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._cage.signal(signal, group=group)
