"""Programs that take more than a box may have, by what they take, and how each must end."""

from collections.abc import Mapping
from dataclasses import replace

from codebot.domain.box import BoxLimits, ExitReason
from codebot.sandbox.memory import available_memory

MEBIBYTE = 1024**2
LIMITS = BoxLimits(
    memory=160 * MEBIBYTE,
    disk=48 * MEBIBYTE,
    processes=60,
    open_files=64,
    file_size=40 * MEBIBYTE,
    free_disk=16 * MEBIBYTE,
)
MAX_OUTPUT = 8 * MEBIBYTE

REST = "\nimport time; time.sleep(20)\n"
"""What comes too late for whoever is stopped in time."""

MEMORY = "kept = []\nwhile True: kept.append(bytearray(1 << 20))\n"
CHILDREN = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        kept = bytearray(60 << 20)
        break
"""
TMPFS = """
for number in range(30):
    open(f"/dev/shm/{number}", "wb").write(bytes(8 << 20))
"""
UNMAPPED = """
import os
kept = [os.memfd_create("x") for _ in range(12)]
for descriptor in kept:
    os.write(descriptor, bytes(36 << 20))
"""
SHARED = """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for _ in range(30):
    segment = libc.shmget(0, 36 << 20, 0o1600)
    address = libc.shmat(segment, None, 0)
    ctypes.memset(address, 1, 36 << 20)
    libc.shmdt(ctypes.c_void_p(address))
"""
SOCKETS = """
import socket, os
kept = []
for _ in range(8):
    if os.fork() == 0:
        break
try:
    while True:
        pair = socket.socketpair()
        kept.append(pair)
        for end in pair:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
            try:
                while True: end.send(bytes(60000))
            except BlockingIOError: pass
except OSError: pass
"""
ONE_FILE = (
    'open("big", "wb").write(bytes(36 << 20)); open("/home/agent/big", "wb").write(bytes(36 << 20))'
)
MANY_FILES = """
import itertools
for number in itertools.count():
    open(f"file-{number}", "w").close()
"""
DEEP = """
import os
while True:
    os.mkdir("d"); os.chdir("d")
    for number in range(50): os.mkdir(f"x{number}")
"""
CLOSED = """
import os
os.mkdir("closed")
for number in range(2):
    file = open(f"closed/{number}", "wb")
    os.chmod("closed", 0)
    file.write(bytes(36 << 20)); file.flush()
    os.chmod("closed", 0o700)
os.chmod("closed", 0)
"""
DELETED = """
import os
kept = [open(str(number), "wb") for number in range(2)]
for number, file in enumerate(kept):
    os.unlink(str(number))
    file.write(bytes(36 << 20)); file.flush()
"""
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
THREADS = """
import threading, time
while True:
    try:
        threading.Thread(target=time.sleep, args=(20,)).start()
    except RuntimeError:
        time.sleep(0.01)
"""
FLOOD = 'import os\nwhile True: os.write(1, b"x" * 65536)\n'
FLOOD_OF_ERRORS = 'import os\nwhile True: os.write(2, b"x" * 65536)\n'
SPIN = "while True: pass\n"

GREEDY: Mapping[str, tuple[str, ExitReason]] = {
    "memory": (MEMORY, ExitReason.MEMORY),
    "memory of many processes": (CHILDREN + REST, ExitReason.MEMORY),
    "memory in files": (TMPFS + REST, ExitReason.MEMORY),
    "memory in files without a name": (UNMAPPED + REST, ExitReason.MEMORY),
    "memory that nobody maps": (SHARED + REST, ExitReason.MEMORY),
    "memory in sockets": (SOCKETS + REST, ExitReason.MEMORY),
    "disk in big files": (ONE_FILE + REST, ExitReason.DISK),
    "disk in many files": (MANY_FILES, ExitReason.DISK),
    "disk in folders without end": (DEEP, ExitReason.DISK),
    "disk in a folder that nobody may open": (CLOSED + REST, ExitReason.DISK),
    "disk in files that are deleted": (DELETED + REST, ExitReason.DISK),
    "processes": (BOMB, ExitReason.TIMEOUT),
    "threads": (THREADS, ExitReason.TIMEOUT),
    "time": (SPIN, ExitReason.TIMEOUT),
    "output": (FLOOD, ExitReason.OUTPUT),
    "errors": (FLOOD_OF_ERRORS, ExitReason.OUTPUT),
}
"""What is taken, the program, and why its box ends: by a limit, or by its clock, for what a limit
refuses and the program then goes on asking for."""

UNSEEN = {"memory that nobody maps", "memory in sockets"}
"""What no look at a box counts: it ends when the machine runs short."""


def limits_for(name: str) -> BoxLimits:
    """Give the limits; for what is unseen, those of a machine that will soon be short of memory."""
    if name not in UNSEEN:
        return LIMITS
    return replace(LIMITS, free_memory=available_memory() - 200 * MEBIBYTE)
