"""Attempts on the host's files and processes, and on processes at all."""

import ctypes
import errno
import os
import platform
import signal
import struct
import time
from contextlib import suppress

from .trying import (
    LONGEST,
    Absent,
    World,
    attempt,
    call,
    checked,
    libc,
    made,
    pids,
    proc,
)

TRACEME, KILL, GET_REGISTERS, SET_REGISTERS, TO_A_CALL, SEIZE = 0, 8, 12, 13, 24, 0x4206
RAX, RDX, RSI, RDI, ORIG_RAX, GETPPID = 10, 12, 13, 14, 15, 110


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


@attempt("trace the service", root=True)
def _(world: World) -> object:
    return call(world, "ptrace", SEIZE, world["service"], 0, 0) == 0


@attempt("read the memory of the service", root=True)
def _(world: World) -> object:
    here = ctypes.create_string_buffer(8)
    vector = struct.pack("QQ", ctypes.addressof(here), 8)
    try:
        checked(libc.process_vm_readv(world["service"], vector, 1, vector, 1, 0))
    except OSError as error:  # it may have nothing at this address
        return error.errno in {0, errno.EFAULT}
    return True


@attempt("make a call that is refused through a process that is traced")
def _(world: World) -> object:
    if platform.machine() != "x86_64":
        raise Absent("another machine")
    traced = os.fork()
    if traced == 0:
        call(world, "ptrace", TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.getppid()
        os._exit(0)
    os.waitpid(traced, 0)
    registers = struct.Struct("27Q")  # struct user_regs_struct
    seen = ctypes.create_string_buffer(registers.size)

    def go_on_to_a_call() -> list[int]:
        call(world, "ptrace", TO_A_CALL, traced, 0, 0)
        os.waitpid(traced, 0)
        call(world, "ptrace", GET_REGISTERS, traced, 0, seen)
        return [*registers.unpack(seen.raw)]

    while (held := go_on_to_a_call())[ORIG_RAX] != GETPPID:
        go_on_to_a_call()
    held[ORIG_RAX], held[RDI], held[RSI], held[RDX] = world["numbers"]["keyctl"], 0, -2 % 2**64, 1
    call(world, "ptrace", SET_REGISTERS, traced, 0, registers.pack(*held))
    answer = ctypes.c_long(go_on_to_a_call()[RAX]).value
    call(world, "ptrace", KILL, traced, 0, 0)
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))
    return answer


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
