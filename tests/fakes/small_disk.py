"""Folders that are small disks of their own, or read-only, to one process and what that starts.

No other sees them so, and they are gone with it; from here, what is on them lies below
`/proc/PID/root`.
"""

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "SMALL_DISKS"
"""Of the environment of a node: the folders that are disks of their own, separated by `:`."""

READ_ONLY = "READ_ONLY"
"""As well: the folders and files that cannot be written."""

SIZE = 24 << 20
FILLER = ".filler"

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_READ_ONLY, _AGAIN, _BIND = 1, 32, 4096
_KEPT = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
_LIBC = ctypes.CDLL(None, use_errno=True)


def arrange(env: Mapping[str, str]) -> None:
    """Give this process, which has one thread, the disks that an environment names."""
    disks, read_only = (
        env[name].split(":") if name in env else [] for name in (VARIABLE, READ_ONLY)
    )
    if disks or read_only:
        mount(*map(Path, disks))
    for place in map(os.fsencode, read_only):
        _require(_LIBC.mount(place, place, None, _BIND, None))
        flags = _AGAIN | _BIND | _READ_ONLY | (os.statvfs(place).f_flag & _KEPT)
        _require(_LIBC.mount(None, place, None, flags, None))


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
