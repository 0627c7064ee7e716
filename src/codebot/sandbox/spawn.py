"""How a box's first process is started: its streams, its session, and nothing of ours besides."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codebot.errors import SandboxError


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that runs, and the reading ends of its stdout and stderr."""

    process: subprocess.Popen[bytes]
    stdout: int
    stderr: int


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes,
    descriptors: Sequence[int] = (),
) -> Spawned:
    """Start the command; raises `SandboxError`, or `FileNotFoundError` for its program.

    Plain `subprocess` behaves the same under every event loop, and starts by `vfork`, whatever
    the service's size. It never waits for the command: that is a descriptor's work.
    """
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    try:
        with file_in_memory(stdin) as source:
            process = subprocess.Popen(  # noqa: S603 - running commands is what a sandbox is for
                argv,
                stdin=source,
                stdout=out_writer,
                stderr=err_writer,
                cwd=cwd,
                env=env,
                pass_fds=descriptors,
                start_new_session=True,
                umask=0o022,
            )
    except (OSError, ValueError) as exc:
        os.close(out)
        os.close(err)
        if isinstance(exc, FileNotFoundError) and exc.filename != cwd:
            raise
        raise SandboxError(f"{argv[0]} cannot be started: {_reason(exc)}.") from exc
    finally:
        os.close(out_writer)
        os.close(err_writer)
    return Spawned(process, out, err)


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
