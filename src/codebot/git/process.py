"""One process with a time limit and a bound on its output, ended with everything it started."""

import asyncio
import os
import resource
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import BinaryIO

CHUNK = 256 * 1024
GRACE = timedelta(seconds=1)
STDERR_KEPT = 64 * 1024
"""Bytes of the end of stderr: a server may say as much as it likes there."""


class Ending(Enum):
    """Why a process ended."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    TOO_MUCH_OUTPUT = "too much output"


@dataclass(frozen=True, slots=True)
class Completed:
    """A process that ended. `stdout` is complete, or its beginning when there was too much."""

    ending: Ending
    code: int
    stdout: bytes
    stderr: bytes


async def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: bytes | BinaryIO,
    descriptors: Sequence[int],
    time_limit: timedelta,
    max_output: int,
    max_memory: int,
) -> Completed:
    """Run a program to its end. A cancelled caller, too, leaves no process of its group behind.

    `stdin` is what it reads: bytes, or an open file from where it stands. `max_memory` is for each
    process, in bytes; files that it maps to read them do not count.
    """
    process = _spawn(argv, env=env, cwd=cwd, stdin=stdin, descriptors=descriptors)
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (max_memory, max_memory))
    running = _Running(process, max_output)
    try:
        async with asyncio.timeout(time_limit.total_seconds()):
            ending = await running.wait()
    except TimeoutError:
        ending = Ending.TIMED_OUT
    finally:
        await running.end()
    return Completed(ending, process.wait(), bytes(running.stdout), bytes(running.stderr))


def _spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: bytes | BinaryIO,
    descriptors: Sequence[int],
) -> "subprocess.Popen[bytes]":
    """Start the program, all at once.

    asyncio's own start can be cancelled half way; on Python 3.11 it then waited for ever for a
    pipe that the program's children held.
    """
    source = _in_memory(stdin) if isinstance(stdin, bytes) else os.dup(stdin.fileno())
    try:
        return subprocess.Popen(  # noqa: S603 - the one place where git is started
            argv,
            bufsize=0,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            pass_fds=descriptors,
            start_new_session=True,
        )
    finally:
        os.close(source)


def _in_memory(content: bytes) -> int:
    """Give bytes as an open file: it takes any size at once, whether anybody reads it or not."""
    descriptor = os.memfd_create("stdin")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class _Running:
    """A process that the event loop watches: its exit and both its pipes."""

    def __init__(self, process: "subprocess.Popen[bytes]", max_output: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._process = process
        self._max_output = max_output
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()
        self._watched: set[int] = set()
        self._pidfd = os.pidfd_open(process.pid)
        self._watch(self._pidfd, self._note_exit)
        for pipe, keep in (
            (process.stdout, self._keep_stdout),
            (process.stderr, self._keep_stderr),
        ):
            if pipe is not None:
                self._watch(pipe.fileno(), partial(self._read, pipe.fileno(), keep))

    async def wait(self) -> Ending:
        """Wait until the process is gone and its pipes are closed, or stdout is full."""
        return await self._ending

    async def end(self) -> None:
        """End what still runs; asked first, git removes its locks and half-made packs."""
        try:
            if not self._exited.is_set():
                self._signal(SIGTERM)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._exited.wait(), GRACE.total_seconds())
        finally:
            if self._watched:
                self._signal(SIGKILL)
            self._release()

    def _watch(self, descriptor: int, on_ready: Callable[[], None]) -> None:
        self._watched.add(descriptor)
        self._loop.add_reader(descriptor, on_ready)

    def _unwatch(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        self._watched.discard(descriptor)
        if not self._watched:
            self._finish(Ending.EXITED)

    def _finish(self, ending: Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)

    def _note_exit(self) -> None:
        self._exited.set()
        self._unwatch(self._pidfd)

    def _read(self, pipe: int, keep: Callable[[bytes], None]) -> None:
        if chunk := os.read(pipe, CHUNK):
            keep(chunk)
        else:
            self._unwatch(pipe)

    def _keep_stdout(self, chunk: bytes) -> None:
        self.stdout += chunk
        if len(self.stdout) > self._max_output:
            del self.stdout[self._max_output :]
            self._finish(Ending.TOO_MUCH_OUTPUT)

    def _keep_stderr(self, chunk: bytes) -> None:
        self.stderr += chunk
        del self.stderr[:-STDERR_KEPT]

    def _signal(self, signal: Signals) -> None:
        """Signal the whole group; its number stays ours until the leader is reaped."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal)

    def _release(self) -> None:
        for descriptor in tuple(self._watched):
            self._unwatch(descriptor)
        os.close(self._pidfd)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process.wait()
