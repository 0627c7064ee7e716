"""Runs in a box at every start of the service and tries to get out; prints what it could do.

    python3 -ISs - HOST_FILE HOST_PORT OUR_PORT < canary_probe.py

One JSON object: for each thing that must not work, whether it did; and `works`, for what must.
"""

import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable

CLONE_NEWUSER = 0x10000000
AF_VSOCK = 40


def succeeds(attempt: Callable[[], object]) -> bool:
    """Say whether something can be done here."""
    try:
        attempt()
    except OSError:
        return False
    return True


def status() -> dict[str, str]:
    """Give this process as the kernel sees it."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def unshare() -> None:
    """Ask for a user namespace of one's own."""
    if ctypes.CDLL(None).unshare(CLONE_NEWUSER) != 0:
        raise OSError


def main() -> None:
    """Try everything."""
    host_file, host_port, our_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seen = status()
    others = [name for name in os.listdir("/proc") if name.isdecimal() and int(name) > 50]  # noqa: PLR2004, PTH208
    escaped = {
        "read a file of the host": succeeds(lambda: os.open(host_file, os.O_RDONLY)),
        "write to /usr": succeeds(lambda: os.open("/usr/codebot", os.O_WRONLY | os.O_CREAT)),
        "set kernel parameters": succeeds(
            lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)
        ),
        "reach a service of the host": succeeds(
            lambda: socket.create_connection(("127.0.0.1", host_port), 2)
        ),
        "open a socket to the hypervisor": succeeds(lambda: socket.socket(AF_VSOCK)),
        "make a user namespace": succeeds(unshare),
        "see processes of the host": bool(others),
        "gain capabilities": int(seen["CapBnd"], 16) != 0 or seen["NoNewPrivs"] != "1",
        "call the kernel unfiltered": seen["Seccomp"] != "2",
        "be root": os.getuid() == 0,
    }
    works = {
        "write to its workspace": succeeds(lambda: os.open("held", os.O_WRONLY | os.O_CREAT)),
        "find its way out": succeeds(lambda: socket.create_connection(("127.0.0.1", our_port), 2)),
    }
    sys.stdout.write(json.dumps({"escaped": escaped, "works": works}))


if __name__ == "__main__":
    main()
