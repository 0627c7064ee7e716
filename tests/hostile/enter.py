"""Becomes another user in a network and a view of files of its own, then runs a command.

    python3 -ISs enter.py UID FOLDER... -- [host-network] COMMAND...

Root runs it; UID may be 0. What the tests stand on (this checkout, its Python) may lie below
folders that only root can enter: they are covered, for this process alone, by empty ones that show
nothing but the given FOLDERs. The network has addresses that a box must not reach; `host-network`
asks for the host's own.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator

NEW_MOUNTS, NEW_NETWORK = 0x00020000, 0x40000000
RECURSIVE, PRIVATE, BIND, MOVE = 0x4000, 1 << 18, 0x1000, 0x2000
ADDRESSES = ("127.0.0.1", "10.77.0.1", "169.254.169.254")
SET_FLAGS, SET_ADDRESS = 0x8914, 0x8916

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    told = [ctypes.c_char_p(os.fsencode(word)) for word in (source, target, kind, data)]
    checked(libc.mount(told[0], told[1], told[2], ctypes.c_ulong(flags), told[3]), target)


def raise_network() -> None:
    """Bring the loopback interface up, with addresses that look like others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for number, address in enumerate(ADDRESSES):
            name = f"lo:{number}".encode() if number else b"lo"
            asked = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, SET_ADDRESS, asked)
            fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH22x", name, 0x41))  # UP, RUNNING


def barriers(folders: list[str]) -> Iterator[str]:
    """Give the topmost folders on the way that not everybody may enter."""
    for folder in folders:
        parts = folder.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            above = "/" + "/".join(parts[:depth])
            if not os.stat(above).st_mode & 0o001:  # noqa: PTH116
                yield above
                break


def make_reachable(folders: list[str]) -> None:
    """Cover every barrier by an empty folder that shows what of `folders` lies below it."""
    held = {folder: os.open(folder, os.O_PATH) for folder in folders}
    for barrier in sorted(set(barriers(folders))):
        mount("none", barrier, "tmpfs", 0, "mode=0755")
    for folder, descriptor in held.items():
        if not os.path.lexists(folder):
            os.makedirs(folder)  # noqa: PTH103
        mount(f"/proc/self/fd/{descriptor}", folder, "", BIND | RECURSIVE)


def main() -> None:
    uid, end = int(sys.argv[1]), sys.argv.index("--")
    command = sys.argv[end + 1 :]
    own_network = command[0] != "host-network"
    checked(libc.unshare(NEW_MOUNTS | (NEW_NETWORK if own_network else 0)), "unshare")
    mount("none", "/", "", RECURSIVE | PRIVATE)
    if own_network:
        raise_network()
    else:
        command = command[1:]
    if uid:
        make_reachable(sys.argv[2:end])
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
