"""Whether a disk has room for what a box writes, and what it means when it has none.

What runs on a full disk fails in words of its own, if it tells at all: a package that cannot be
unpacked, a test that finds its file cut off. Nobody is to be blamed for that but the disk.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codebot.domain.ports import Sandbox
from codebot.errors import DiskFull, SandboxError, StepFailed

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def on_room(sandbox: Sandbox, folder: Path) -> Iterator[None]:
    """Do the block where the disk of `folder` has room; raises `DiskFull` where it has none.

    That is raised, too, for a step that fails in the block while the disk is full.
    """
    require_room(sandbox, folder)
    try:
        yield
    except DiskFull:
        raise
    except StepFailed as error:
        if sandbox.has_room(folder):
            raise
        raise DiskFull(folder) from error


def require_room(sandbox: Sandbox, folder: Path) -> None:
    """Raise `DiskFull` where boxes have no room to write on the disk of a folder."""
    if not sandbox.has_room(folder):
        raise DiskFull(folder)


def is_full(error: OSError) -> bool:
    """Say whether an error is that of a disk, or of a user's share of it, that is full.

    >>> is_full(OSError(errno.ENOSPC, "No space left on device"))
    True
    """
    if isinstance(error, shutil.Error):  # of a whole tree, which keeps nothing but the words
        return any(os.strerror(number) in str(error) for number in _FULL)
    return error.errno in _FULL


def not_written(error: OSError, place: Path, words: str) -> StepFailed:
    """Give `DiskFull` for an error that is that, else a `SandboxError` with these words."""
    return DiskFull(error.filename or place) if is_full(error) else SandboxError(words)
