"""The pid namespace of a box: when its first process ends, the kernel has ended all of them."""

import asyncio
import os
import select
from contextlib import suppress
from signal import SIGKILL, Signals, pidfd_send_signal

import structlog

from codebot.sandbox import processes

log = structlog.get_logger(__name__)

LONGEST_SWEEP = 10.0
"""Seconds. What SIGKILL does not end by then hangs in the kernel: no use waiting."""

LAST_SIGNAL = 31
BY_SIGNAL = 128


class PidNamespace:
    """The processes of one box, held by the first of them, which is bwrap's.

    `outer` is the pid of the bwrap that this service started, `first` that of the namespace's
    pid 1, both as the host counts.
    """

    def __init__(self, outer: int, first: int) -> None:
        """Take hold of it; a process that is gone already is no error."""
        self.first = first
        self._descriptor: int | None = None
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(first)
            found = processes.read_process(first)
            if found is not None and found.parent == outer:  # and no later bearer of its number
                self._descriptor = descriptor
            else:
                os.close(descriptor)

    def signal(self, signal: Signals, *, group: bool) -> None:
        """Send a signal to the command itself, or to its process group."""
        command = processes.only_child_of(self.first)
        if command is None:
            return
        if group:  # the first process is in it, and deaf to all but SIGKILL
            os.killpg(os.getpgid(command), signal)
        else:
            os.kill(command, signal)

    def kill(self) -> None:
        """Send SIGKILL to the first process: the kernel sends it to all the others."""
        if self._descriptor is not None:
            with suppress(ProcessLookupError):
                pidfd_send_signal(self._descriptor, SIGKILL)

    async def sweep(self) -> None:
        """End everything. The first process is gone only after all others are.

        https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
        """
        if self._descriptor is None:
            return
        self.kill()
        try:
            async with asyncio.timeout(LONGEST_SWEEP):
                await _readable(self._descriptor)
        except TimeoutError:
            log.error("box.survived", pid=self.first)  # noqa: TRY400 - the fact is enough
        finally:
            os.close(self._descriptor)
            self._descriptor = None

    def exit_code(self, code: int) -> int:
        """Undo what bwrap makes of a signal: 128 and its number, as shells do."""
        return BY_SIGNAL - code if BY_SIGNAL < code <= BY_SIGNAL + LAST_SIGNAL else code


async def _readable(descriptor: int) -> None:
    """Wait until a process is gone."""
    if select.select([descriptor], [], [], 0)[0]:
        return
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not gone.done():
            gone.set_result(None)

    loop.add_reader(descriptor, note)
    try:
        await gone
    finally:
        loop.remove_reader(descriptor)
