"""Temporary folders that tell by themselves whether anybody still uses them.

Whoever makes one holds a lock in it, and the kernel lets go of that when the process ends, however
it ends. A number of a process would tell nothing to another container that shares /tmp.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codebot.sandbox.locks import let_go, try_to_lock

LOCK = "in-use"


@contextmanager
def held_folder(prefix: str) -> Iterator[Path]:
    """Give a folder of this process's own, and remove those of dead ones with the same prefix.

    It goes with all that is in it. Raises `OSError`.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        _remove_if_left(left)
    folder, lock = _make(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        let_go(lock)


def _make(prefix: str) -> tuple[Path, int]:
    """Make a folder and hold it; one that was taken for a leftover meanwhile is made anew."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        with suppress(FileNotFoundError):
            lock = _hold(folder)
            if lock is not None:
                return folder, lock


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that nobody holds; what is not ours to judge stays."""
    with suppress(OSError):
        seen = folder.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
            return
        lock = _hold(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            let_go(lock)


def _hold(folder: Path) -> int | None:
    """Give the lock of a folder, None where somebody else has it or it is gone with its folder."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if try_to_lock(lock) and os.path.samestat(os.fstat(lock), (folder / LOCK).stat()):
            return lock
    except FileNotFoundError:
        pass
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None
