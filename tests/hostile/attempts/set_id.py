"""Attempts to leave a set-id program in the workspace, which is somebody's on the host."""

import os
import stat
import struct
from typing import Any

from .trying import AT_CWD, World, attempt, call


def is_set_id(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & 0o6000)
    finally:
        os.unlink(path)


def plain(name: str) -> str:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o755))
    return name


for _call, _arguments in {
    "chmod": (b"planted", 0o4755),
    "chmod ": (b"planted", 1 << 33 | 0o4755),
    "fchmodat": (AT_CWD, b"planted", 0o2755, 0),
    "fchmodat2": (AT_CWD, b"planted", 0o4755, 0),
}.items():

    @attempt(f"make a file set-id by {_call}".replace(" by chmod ", " by chmod with high bits"))
    def _(world: World, name: str = _call.strip(), arguments: Any = _arguments) -> object:
        plain("planted")
        try:
            call(world, name, *arguments)
        except OSError:
            os.unlink("planted")
            raise
        return is_set_id("planted")


@attempt("make a file set-id by fchmod")
def _(world: World) -> object:
    descriptor = os.open("planted", os.O_WRONLY | os.O_CREAT, 0o755)
    try:
        os.fchmod(descriptor, 0o4755)
    except OSError:
        os.unlink("planted")
        raise
    return is_set_id("planted")


for _call, _arguments in {
    "open": (b"planted", os.O_CREAT | os.O_WRONLY, 0o4755),
    "openat": (AT_CWD, b"planted", os.O_CREAT | os.O_WRONLY, 0o4755),
    "creat": (b"planted", 0o4755),
    "mknod": (b"planted", stat.S_IFREG | 0o4755, 0),
    "mknodat": (AT_CWD, b"planted", stat.S_IFREG | 0o4755, 0),
    "openat2": (AT_CWD, b"planted", struct.pack("QQQ", 0o101, 0o4755, 0), 24),
}.items():

    @attempt(f"create a set-id file by {_call}")
    def _(world: World, name: str = _call, arguments: Any = _arguments) -> object:
        call(world, name, *arguments)
        return is_set_id("planted")


@attempt("create a set-id file without a name")
def _(world: World) -> object:
    descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)
    return bool(os.fstat(descriptor).st_mode & 0o6000)
