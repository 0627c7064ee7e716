"""Attempts on the host's files and processes, and on processes at all."""

import ctypes
import os
import struct
import time
from contextlib import suppress

from .trying import (
    LONGEST,
    World,
    attempt,
    call,
    made,
    pids,
    proc,
)


@attempt("read a file of the service")
def _(world: World) -> object:
    with open(world["secret"]) as file:
        return file.read() == world["canary"]


@attempt("read the tree of another task")
def _(world: World) -> object:
    return os.listdir(world["other_tree"])


@attempt("write to the tree of another task")
def _(world: World) -> object:
    return made(f"{world['other_tree']}/planted")


@attempt("see the folder that workspaces lie in")
def _(world: World) -> object:
    return os.stat(world["folder"]).st_ino


@attempt("read the environment of any process of the host")
def _(world: World) -> object:
    return [pid for pid in pids() if world["canary"].encode() in proc(pid, "environ")]


@attempt("read the command line of any process of the host")
def _(world: World) -> object:
    return [pid for pid in pids() if world["marker"].encode() in proc(pid, "cmdline")]


@attempt("reach the host's files through a process")
def _(world: World) -> object:
    for pid in pids():
        for way in ("root", "cwd"):
            with suppress(OSError):
                return os.listdir(f"/proc/{pid}/{way}{world['other_tree']}")
    return None


@attempt("reach the host's files through a descriptor")
def _(world: World) -> object:
    found = []
    for pid in pids():
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{number}")
                    if world["folder"] in target:
                        found.append(target)
    return found


@attempt("send a signal to the service")
def _(world: World) -> object:
    os.kill(world["service"], 0)
    return True


@attempt("see the box of another task")
def _(world: World) -> object:
    return [pid for pid in pids() if world["other_nap"].encode() in proc(pid, "cmdline")]


def child() -> int:
    """Give a process that waits."""
    forked = os.fork()
    if forked == 0:
        time.sleep(LONGEST)
        os._exit(0)
    return forked


@attempt("trace a process")
def _(world: World) -> object:
    return call(world, "ptrace", 16, child(), 0, 0) == 0  # PTRACE_ATTACH


@attempt("be traced")
def _(world: World) -> object:
    return call(world, "ptrace", 0, 0, 0, 0) == 0


@attempt("read the memory of a process")
def _(world: World) -> object:
    here, there = ctypes.create_string_buffer(8), ctypes.create_string_buffer(b"canary")
    local = struct.pack("QQ", ctypes.addressof(here), 6)
    remote = struct.pack("QQ", ctypes.addressof(there), 6)
    call(world, "process_vm_readv", child(), local, 1, remote, 1, 0)
    return here.value == b"canary"


@attempt("write the memory of a process")
def _(world: World) -> object:
    data = ctypes.create_string_buffer(b"canary")
    vector = struct.pack("QQ", ctypes.addressof(data), 6)
    return call(world, "process_vm_writev", child(), vector, 1, vector, 1, 0)


@attempt("open the memory of a process of the host")
def _(world: World) -> object:
    os.close(os.open(f"/proc/{world['service']}/mem", os.O_RDONLY))
    return True


@attempt("take a descriptor out of a process")
def _(world: World) -> object:
    return call(world, "pidfd_getfd", os.pidfd_open(child()), 0, 0)


@attempt("compare processes")
def _(world: World) -> object:
    return call(world, "kcmp", os.getpid(), child(), 0, 0, 0) >= 0
