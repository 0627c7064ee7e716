"""What a process can see of itself and of its surroundings, without trying anything."""

import mmap
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .trying import World, pids, proc, raw_call, text_of


def facts(world: World) -> dict[str, Any]:
    """Give this process and its surroundings as the kernel shows them."""
    return {
        "status": status_of("self"),
        "uid": [*os.getresuid(), *os.getresgid()],
        "groups": os.getgroups(),
        "session": os.getsid(0),
        "namespaces": namespaces_of("self"),
        "pid 1": {
            "status": status_of("1"),
            "namespaces": namespaces_of("1"),
            "descriptors": descriptors_of("1"),
        },
        "mounts": [line.split(" ") for line in proc("self", "mountinfo").decode().splitlines()],
        "environ": proc("self", "environ").decode().split("\0")[:-1],
        "environ of pid 1": proc("1", "environ").decode(),
        "command of pid 1": proc("1", "cmdline").decode(),
        "pids": len(pids()),
        "descriptors": descriptors_of("self"),
        "listing": {path: names_in(path) for path in ("/", "/dev", "/run", "/home", "/var")},
        "links": {path: link_of(path) for path in world["links"]},
        "there": {path: os.path.lexists(path) for path in world["paths"]},
        "sizes": {path: size_of(path) for path in ("/tmp", "/dev/shm", "/run")},
        "modes": {path: mode_of(path) for path in world["moded"]},
        "limits": dict(limits()),
        "folder": os.getcwd(),
        "hostname": os.uname().nodename,
        "umask": os.umask(0o022),
        "files": {path: text_of(path) for path in world["files"]},
        "answers": [answer_of(*asked) for asked in world["asked"]],
        "may go on": os.access(".", os.W_OK) and os.access(os.environ.get("HOME", "/"), os.W_OK),
    }


def status_of(pid: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in proc(pid, "status").decode().splitlines())


def namespaces_of(pid: str) -> dict[str, int]:
    with suppress(OSError):
        return {
            name: os.stat(f"/proc/{pid}/ns/{name}").st_ino for name in os.listdir(f"/proc/{pid}/ns")
        }
    return {}


def descriptors_of(pid: str) -> list[str]:
    numbers = sorted(os.listdir(f"/proc/{pid}/fd"), key=int)
    found = []
    for number in numbers:
        with suppress(OSError):
            found.append(f"{number} {os.readlink(f'/proc/{pid}/fd/{number}')}")
    return found


def names_in(path: str) -> list[str]:
    with suppress(OSError):
        return sorted(os.listdir(path))
    return []


def size_of(path: str) -> int:
    seen = os.statvfs(path)
    return seen.f_blocks * seen.f_frsize


def mode_of(path: str) -> int | None:
    with suppress(OSError):
        return os.stat(path).st_mode & 0o7777
    return None


def link_of(path: str) -> str:
    with suppress(OSError):
        return os.readlink(path)
    return ""


def limits() -> Iterator[tuple[str, str]]:
    for line in proc("self", "limits").decode().splitlines()[1:]:
        yield line[:26].strip(), " ".join(line[26:].split()[:2])


def answer_of(number: int, arguments: list[int]) -> int:
    """Give the error of a call, in a process of its own: 0 if there was none, -1 if it ended."""
    page = mmap.mmap(-1, 4096)
    process = os.fork()
    if process == 0:
        signal.alarm(1)
        try:
            raw_call(number, *arguments)
            page[:4] = struct.pack("i", 0)
        except OSError as error:
            page[:4] = struct.pack("i", error.errno or 0)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    number_told: int = struct.unpack("i", page[:4])[0]
    return number_told if status == 0 else -1
