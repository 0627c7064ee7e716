"""Attempts on parts of the kernel that a box has no business with."""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import pty
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

from .trying import (
    AT_CWD,
    Absent,
    World,
    attempt,
    call,
    raw_call,
    text_of,
)


def in_a_terminal(function: Callable[[], object]) -> bool:
    """Do it in a process with a terminal of its own."""
    process, terminal = pty.fork()
    if process == 0:
        try:
            function()
        except OSError as error:
            os._exit(error.errno or 0)
        os._exit(0)
    with suppress(OSError):
        while os.read(terminal, 100):
            pass
    _, status = os.waitpid(process, 0)
    return checked_exit(os.waitstatus_to_exitcode(status))


def checked_exit(code: int) -> bool:
    if code:
        raise OSError(code, os.strerror(code))
    return True


@attempt("type into a terminal", root=True)
def _(world: World) -> object:
    return in_a_terminal(lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x"))


@attempt("type into a terminal with high bits set", root=True)
def _(world: World) -> object:
    return in_a_terminal(lambda: call(world, "ioctl", 0, termios.TIOCSTI | 1 << 32, b"x"))


@attempt("set a line discipline")
def _(world: World) -> object:
    _, terminal = pty.openpty()
    fcntl.ioctl(terminal, 0x5423, struct.pack("i", 0))
    return True


@attempt("keep a key in the kernel")
def _(world: World) -> object:
    return call(world, "add_key", b"user", b"codebot", b"x", 1, -2)


@attempt("read one's keyring")
def _(world: World) -> object:
    return call(world, "keyctl", 0, -2, 1)


@attempt("load a program into the kernel", root=True)
def _(world: World) -> object:
    os.close(call(world, "bpf", 0, struct.pack("IIIII", 2, 4, 8, 1, 0) + bytes(100), 120))
    return True


@attempt("watch performance counters", root=True)
def _(world: World) -> object:
    attributes = struct.pack("IIQ", 1, 112, 9) + bytes(24) + struct.pack("Q", 1 << 5 | 1 << 6)
    asked = attributes + bytes(112 - len(attributes))
    os.close(call(world, "perf_event_open", asked, 0, -1, -1, 0))
    return True


@attempt("handle page faults")
def _(world: World) -> object:
    os.close(call(world, "userfaultfd", 1 | os.O_CLOEXEC))
    return True


@attempt("set up an io_uring")
def _(world: World) -> object:
    if text_of("/proc/sys/kernel/io_uring_disabled").strip() == "2":
        raise Absent("switched off")
    os.close(call(world, "io_uring_setup", 1, bytes(120)))
    return True


@attempt("name a file by its handle")
def _(world: World) -> object:
    if not world["handle"]:
        raise Absent("this file system has no handles")
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    return call(world, "name_to_handle_at", AT_CWD, b"/usr", handle, ctypes.byref(mount), 0) == 0


@attempt("open a file by its handle", root=True)
def _(world: World) -> object:
    handle = bytes.fromhex(world["handle"])
    if not handle:
        raise Absent("this file system has no handles")
    usr = os.open("/usr", os.O_RDONLY)  # a file system of the host: every box sees it
    os.close(call(world, "open_by_handle_at", usr, handle, os.O_RDONLY))
    return True


@attempt("watch a file system")
def _(world: World) -> object:
    os.close(call(world, "fanotify_init", 0x200, 0))
    return True


@attempt("switch protections of memory off")
def _(world: World) -> object:
    return call(world, "personality", 0x400000) >= 0


@attempt("read the kernel's log", root=True)
def _(world: World) -> object:
    return call(world, "syslog", 3, ctypes.create_string_buffer(64), 64) >= 0


@attempt("read the clock's corrections")
def _(world: World) -> object:
    return call(world, "adjtimex", bytes(256)) >= 0


@attempt("reach the hardware's ports", root=True)
def _(world: World) -> object:
    return call(world, "iopl", 3) == 0


@attempt("change a segment table")
def _(world: World) -> object:
    return call(world, "modify_ldt", 0, ctypes.create_string_buffer(64), 64) >= 0


@attempt("call by the numbers of x32")
def _(world: World) -> object:
    return raw_call(1 << 30 | 39)


@attempt("call by the numbers of i386")
def _(world: World) -> object:
    if platform.machine() != "x86_64":
        raise Absent("another machine")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid()


@attempt("make a call that is newer than the filter")
def _(world: World) -> object:
    try:
        return raw_call(world["first_unknown"], 0, 0, 0) >= 0
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise Absent("there is none") from None
        return error.strerror
