"""Folders that are small disks of their own, to one process and what that starts.

They are seen by no other, and gone with it; from here, what is on them lies below
`/proc/PID/root`.
"""

import ctypes
import os
from pathlib import Path

VARIABLE = "SMALL_DISKS"
"""Of the environment of a node: the folders that are disks of their own, separated by `:`."""

SIZE = 24 << 20
FILLER = ".filler"

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(*folders: Path, size: int = SIZE) -> None:
    """Give this process, which has one thread, a disk of so many bytes at each folder."""
    user, group = os.geteuid(), os.getegid()
    _require(_LIBC.unshare(_NEW_USER | _NEW_MOUNTS))
    for name, words in (
        ("uid_map", f"{user} {user} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(words)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        given = f"size={size},mode=700".encode()
        _require(_LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, given))


def fill(folder: Path) -> None:
    """Leave no room on the disk of a folder."""
    with (folder / FILLER).open("ab", buffering=0) as filler:
        piece = bytes(1 << 16)
        while piece:
            try:
                filler.write(piece)
            except OSError:
                piece = piece[: len(piece) // 2]


def make_room(folder: Path) -> None:
    """Take back what `fill` wrote; fine when that is nothing."""
    (folder / FILLER).unlink(missing_ok=True)


def _require(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
