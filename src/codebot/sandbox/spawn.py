"""How a box's first process is started: its streams, its session, and nothing of ours besides."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codebot.errors import SandboxError


class Process(Protocol):
    """A child of this process."""

    pid: int
    returncode: int | None

    def wait(self, timeout: float | None = None) -> int:
        """Give its exit code, negative for a signal; raises `subprocess.TimeoutExpired`."""
        ...


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that runs, and the reading ends of its stdout and stderr."""

    process: Process
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Streams:
    """The two ends of stdout and of stderr of a process that is being started."""

    out: int
    out_writer: int
    err: int
    err_writer: int

    def of(self, process: Process) -> Spawned:
        """Give the process that has the writing ends, with the reading ones."""
        return Spawned(process, self.out, self.err)


@contextmanager
def streams() -> Iterator[Streams]:
    """Give pipes for a process that the block starts: only if it fails, the reading ends close."""
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    try:
        with ExitStack() as undo:
            undo.callback(os.close, out)
            undo.callback(os.close, err)
            yield Streams(out, out_writer, err, err_writer)
            undo.pop_all()
    finally:
        os.close(out_writer)
        os.close(err_writer)


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes,
) -> Spawned:
    """Start the command; raises `SandboxError`, or `FileNotFoundError` for its program.

    Plain `subprocess` behaves the same under every event loop, and starts by `vfork`, whatever
    the service's size. It never waits for the command: that is a descriptor's work.
    """
    try:
        with streams() as ends, file_in_memory(stdin) as source:
            process = subprocess.Popen(  # noqa: S603 - running commands is what a sandbox is for
                argv,
                stdin=source,
                stdout=ends.out_writer,
                stderr=ends.err_writer,
                cwd=cwd,
                env=env,
                start_new_session=True,
                umask=0o022,
            )
            return ends.of(process)
    except (OSError, ValueError) as exc:
        if isinstance(exc, FileNotFoundError) and exc.filename != cwd:
            raise
        raise SandboxError(f"{argv[0]} cannot be started: {_reason(exc)}.") from exc


@contextmanager
def file_in_memory(content: bytes) -> Iterator[int]:
    """Give content as an open file: it takes any size at once, whether it is read or not."""
    descriptor = os.memfd_create("codebot")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _reason(error: OSError | ValueError) -> str:
    """Give the fact alone: the folder or program that is in the way, and what is wrong with it."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return "its arguments hold a NUL"
