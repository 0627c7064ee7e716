"""What every attempt needs, and how each is made: in a process of its own.

It answers with what it got hold of; an `OSError` says that it was held.
"""

import ctypes
import errno
import json
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

World = Mapping[str, Any]
Attempt = Callable[[World], object]

ATTEMPTS: dict[str, Attempt] = {}
NEEDS_ROOT: set[str] = set()
"""What only root can do outside a box: for others it proves nothing that it fails inside."""

LONGEST = 5
NEW_USER, NEW_MOUNTS, NEW_NETWORK = 0x10000000, 0x00020000, 0x40000000
AT_CWD = -100

libc = ctypes.CDLL(None, use_errno=True)


def attempt(name: str, *, root: bool = False) -> Callable[[Attempt], Attempt]:
    """Register an attempt; `root` if it takes root to succeed outside."""

    def register(function: Attempt) -> Attempt:
        ATTEMPTS[name] = function
        if root:
            NEEDS_ROOT.add(name)
        return function

    return register


class Absent(OSError):
    """There is nothing of the kind on this machine."""


def checked(result: int) -> int:
    """Give the result of a call to the C library, or raise its error."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(world: World, name: str, *arguments: Any) -> int:
    """Make a system call by its number, past what the C library makes of it."""
    number = world["numbers"].get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"no {name} here")
    return raw_call(number, *arguments)


def raw_call(number: int, *arguments: Any) -> int:
    """Make the system call of this number."""
    filled = [
        ctypes.c_ulong(value & 0xFFFFFFFFFFFFFFFF) if isinstance(value, int) else value
        for value in arguments
    ]
    return checked(libc.syscall(ctypes.c_ulong(number), *filled))


def made(path: str) -> str:
    """Make a file and remove it again."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)
    return path


def pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdecimal()]


def proc(pid: str, name: str) -> bytes:
    with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()
    return b""


def text_of(path: str) -> str:
    with suppress(OSError), open(path) as file:
        return file.read()
    return ""


def tried(function: Attempt, world: World) -> dict[str, Any]:
    """Run one attempt in a process of its own and say what came of it."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        os.setpgid(0, 0)
        os.umask(0)
        signal.alarm(LONGEST)
        os.write(writer, json.dumps(told(function, world)).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(process, 0)
    with suppress(OSError):
        os.killpg(process, signal.SIGKILL)  # what it started, and perhaps stopped
    with open(reader, "rb") as file:
        said = file.read()
    if said:
        answer: dict[str, Any] = json.loads(said)
        return answer
    return {"escaped": False, "how": f"ended by {signal.Signals(os.WTERMSIG(status)).name}"}


def told(function: Attempt, world: World) -> dict[str, Any]:
    try:
        got = function(world)
    except Absent as error:
        return {"escaped": False, "how": f"absent: {error}"}
    except OSError as error:
        return {"escaped": False, "how": errno.errorcode.get(error.errno or 0, str(error))}
    except Exception as error:  # noqa: BLE001 - a broken attempt must not pass for a held one
        return {"escaped": False, "how": f"BROKEN {error!r}"}
    return {"escaped": bool(got), "how": str(got)[:200]}
