"""Temporary folders that tell by themselves whether anybody still uses them.

Whoever makes one holds a lock in it, and the kernel lets go of that when the process ends, however
it ends. A number of a process would tell nothing to another container that shares /tmp.
"""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codebot.sandbox.locks import hold_file, let_go

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
        _remove(folder)
        let_go(lock)


def _remove(folder: Path) -> None:
    """Remove a folder of whatever depth and modes, as far as that can be done.

    `shutil.rmtree` calls itself for every level up to Python 3.12, and fails at the thousandth.
    """
    for command in (("/bin/rm", "-rf"), ("/bin/chmod", "-R", "u+rwx"), ("/bin/rm", "-rf")):
        if os.path.lexists(folder):
            subprocess.run(  # noqa: S603 - no shell, and a folder of our own
                (*command, "--", folder), env={"LC_ALL": "C"}, capture_output=True, check=False
            )


def _make(prefix: str) -> tuple[Path, int]:
    """Make a folder and hold it; one that was taken for a leftover meanwhile is made anew."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        with suppress(FileNotFoundError):
            lock = hold_file(folder / LOCK)
            if lock is not None:
                return folder, lock


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that nobody holds; what is not ours to judge stays."""
    with suppress(OSError):
        seen = folder.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
            return
        lock = hold_file(folder / LOCK)
        if lock is not None:
            _remove(folder)
            let_go(lock)
