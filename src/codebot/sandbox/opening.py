"""How a box begins: bwrap tells its first process, the shim hands its listening sockets over."""

import asyncio
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, Signals

import structlog

from codebot.domain.box import PROXY_PORT, TLS_PORT, Bound, BoxSpec, Exit, ExitReason, Network
from codebot.domain.ports import Doors, Egress, EgressServer
from codebot.errors import SandboxError
from codebot.sandbox.arguments import SHIM
from codebot.sandbox.cgroup import Group
from codebot.sandbox.namespace import PidNamespace
from codebot.sandbox.pipe import read_to_end
from codebot.sandbox.spawn import Spawned
from codebot.sandbox.uppers import Uppers

log = structlog.get_logger(__name__)

LONGEST_WORDS = 1000
LONGEST_START = 30
"""Seconds; a folder on a network that does not answer must not hold a worker for ever."""


class Opening:
    """The two lines to a box that begins: which process is its first, its listening sockets."""

    def __init__(self, network: Network) -> None:
        """Open both; a box without a network hands nothing over."""
        self._told, self.info = os.pipe()
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None
        if network is not Network.NONE:
            self._ours, self._theirs = socket.socketpair()

    @property
    def descriptors(self) -> list[int]:
        """The ends that bwrap inherits."""
        return [self.info, *([self._theirs.fileno()] if self._theirs else [])]

    @property
    def has_channel(self) -> bool:
        """Whether there is a way out to hand over."""
        return self._theirs is not None

    def shim(self, python: Path) -> tuple[str, ...]:
        """Give what runs before the command, where there is a way out to hand over."""
        if self._theirs is None:
            return ()
        ports = f"{PROXY_PORT},{TLS_PORT}"
        return (str(python), "-ISs", SHIM, str(self._theirs.fileno()), ports)

    async def first_pid(self, spawned: Spawned) -> int:
        """Wait until bwrap has made the box; raises `SandboxError` with its words if it cannot."""
        self._close_theirs()
        told, self._told = self._told, -1
        try:
            async with asyncio.timeout(LONGEST_START):
                return int(json.loads(await read_to_end(told))["child-pid"])
        except (ValueError, KeyError, TimeoutError):
            raise SandboxError(
                f"The box could not be made: {(await _last_words(spawned)).rstrip('.')}.",
                hint="`codebot doctor` says what this machine lacks.",
            ) from None
        except asyncio.CancelledError:
            await _last_words(spawned)
            raise

    def channel(self) -> socket.socket | None:
        """Give our end of the line by which the listening sockets come; the caller closes it."""
        ours, self._ours = self._ours, None
        return ours

    def close(self) -> None:
        """Close what nobody took."""
        self._close_theirs()
        if self._told >= 0:
            os.close(self._told)
            self._told = -1
        if self._ours is not None:
            self._ours.close()
            self._ours = None

    def _close_theirs(self) -> None:
        if self.info >= 0:
            os.close(self.info)
            self.info = -1
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None


class Containment:
    """What holds a box together, and its way out: both end together (a `Cage`)."""

    def __init__(
        self,
        namespace: PidNamespace,
        spec: BoxSpec,
        *,
        egress: Egress,
        channel: socket.socket | None,
        group: Group | None,
        uppers: Uppers,
    ) -> None:
        """Serve the way out as soon as the box hands it over on `channel`."""
        self._group = group
        self._uppers = uppers
        self._namespace = namespace
        self._spec = spec
        self._egress = egress
        self._serving = asyncio.create_task(self._serve(channel)) if channel else None

    def signal(self, signal: Signals, *, group: bool) -> None:
        """Send a signal to the command itself, or to its process group."""
        self._namespace.signal(signal, group=group)

    def kill(self) -> None:
        """Send SIGKILL to everything, without waiting."""
        self._namespace.kill()

    async def sweep(self) -> None:
        """End everything in the box, then its way out."""
        try:
            await self._namespace.sweep()
        finally:
            if self._serving is not None:
                self._serving.cancel()
                await asyncio.wait({self._serving})

    def judge(self, ended: Exit) -> Exit:
        """Give how the command ended: with its own exit code, and whether memory was the reason."""
        reason, reached = ended.reason, ended.reached
        if self._group is not None:
            if self._group.ran_out_of_processes():
                reached = Bound.PROCESSES
            if reason is ExitReason.EXITED and self._group.ran_out_of_memory():
                reason = ExitReason.MEMORY
            self._group.remove()
        self._uppers.release()
        return Exit(reason, self._namespace.exit_code(ended.code), reached)

    async def _serve(self, channel: socket.socket) -> None:
        server: EgressServer | None = None
        try:
            with channel:
                doors = await _receive_doors(channel)
            if doors is not None:
                spec = self._spec
                server = await self._egress.serve(spec.task_id, spec.network, doors)
                await asyncio.get_running_loop().create_future()  # until it is cancelled
        except OSError as error:
            log.error("box.no_way_out", error=str(error))  # noqa: TRY400 - the fact is enough
            self.kill()
        finally:
            if server is not None:
                await server.close()


async def _receive_doors(channel: socket.socket) -> Doors | None:
    """Give the sockets that the shim passes; None when the box ended before it could."""
    channel.setblocking(False)  # noqa: FBT003 - its only parameter
    await _readable(channel)
    with suppress(OSError):
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 2)
        if descriptors:
            return Doors(*(socket.socket(fileno=each) for each in descriptors))
    return None


async def _readable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(channel, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(channel)


async def _last_words(spawned: Spawned) -> str:
    """End a bwrap that made no box, and give what it said.

    What it has begun waits for it for ever, and is of its process group still.
    """
    os.killpg(spawned.process.pid, SIGKILL)
    os.close(spawned.stdout)
    said = (await read_to_end(spawned.stderr)).decode(errors="replace")
    spawned.process.wait()
    return " ".join(said.split())[-LONGEST_WORDS:] or "it ended without a word"
