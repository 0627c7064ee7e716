"""One process with a time limit and a bound on its output, ended with everything it started."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from signal import SIGKILL, SIGTERM
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
) -> Completed:
    """Run a program to its end. A cancelled caller, too, leaves no process of its group behind.

    `stdin` is what it reads: bytes, or an open file from where it stands.
    """
    process = await _start(argv, env=env, cwd=cwd, stdin=stdin, descriptors=descriptors)
    output = _Output(process, max_output)
    try:
        async with asyncio.timeout(time_limit.total_seconds()):
            ending = await output.read()
    except TimeoutError:
        ending = Ending.TIMED_OUT
    finally:
        if process.returncode is None:
            await _end(process)
    code = await process.wait()
    return Completed(ending, code, bytes(output.stdout), bytes(output.stderr))


async def _start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: bytes | BinaryIO,
    descriptors: Sequence[int],
) -> asyncio.subprocess.Process:
    source = _in_memory(stdin) if isinstance(stdin, bytes) else os.dup(stdin.fileno())
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            pass_fds=tuple(descriptors),
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


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and its children; asked first, git removes its locks and half-made packs."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE.total_seconds())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)


class _Output:
    """What a process has written so far: all of stdout up to a bound, the end of stderr."""

    def __init__(self, process: asyncio.subprocess.Process, max_output: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._process = process
        self._max_output = max_output

    async def read(self) -> Ending:
        """Read until the process is gone, or has written too much."""
        stderr = asyncio.create_task(self._read_stderr())
        try:
            if not await self._read_stdout():
                return Ending.TOO_MUCH_OUTPUT
            await stderr
            await self._process.wait()
        finally:
            stderr.cancel()
        return Ending.EXITED

    async def _read_stdout(self) -> bool:
        stream = self._process.stdout
        while stream is not None and (chunk := await stream.read(CHUNK)):
            self.stdout += chunk
            if len(self.stdout) > self._max_output:
                del self.stdout[self._max_output :]
                return False
        return True

    async def _read_stderr(self) -> None:
        stream = self._process.stderr
        while stream is not None and (chunk := await stream.read(CHUNK)):
            self.stderr += chunk
            del self.stderr[:-STDERR_KEPT]
