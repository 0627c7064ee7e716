"""Which processes of this machine belong to a box, read from /proc.

A box marks its processes with a variable in their environment. Children inherit it through any
number of forks, sessions and double forks; what a program that rewrote or dropped its environment
still gives away is its session and its parent.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGSTOP, Signals

import structlog

log = structlog.get_logger(__name__)

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
KERNEL_THREAD = 0x0020_0000
"""The flag of a thread of the kernel's own (`PF_KTHREAD` in its include/linux/sched.h)."""

LONGEST_SWEEP = 10.0
"""A process that SIGKILL does not end in so many seconds hangs in the kernel: no use waiting."""

LONGEST_EXEC = 2.0
"""A process without a command line for so many seconds is not in its `exec`: it removed it."""

MOST_STOPS = 50
"""So many looks find all of a tree whose stopped processes fork no more, or it is no use."""

QUIET_LOOKS = 2
"""A process that was born behind a reader of /proc, who goes by pid, is found by the next look."""


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table. `started` counts clock ticks since the machine's start.

    `resident` is the memory it has in use, in bytes, with what it shares; `threads` counts the
    first one, too. `is_kernel` tells the kernel's own threads, which have no environment; in a
    container nobody has that process 2 which is their parent elsewhere.
    """

    pid: int
    parent: int
    session: int
    started: int
    is_alive: bool
    is_kernel: bool
    resident: int
    threads: int


def read_process(pid: int) -> Process | None:
    """Look a process up; None when it is gone. A zombie is there, but not alive."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The name stands in parentheses and may hold spaces and parentheses of its own:
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        is_alive=fields[0] not in b"ZX",
        is_kernel=bool(int(fields[6]) & KERNEL_THREAD),
        resident=int(fields[21]) * PAGE,
        threads=int(fields[17]),
    )


def only_child_of(pid: int) -> int | None:
    """Give the oldest child of a process, None without any."""
    children = [process for process in process_table() if process.parent == pid]
    return min(children, key=lambda child: child.started).pid if children else None


def descendants(pid: int, table: Iterable[Process]) -> list[Process]:
    """Give a process and all that come from it: of a pid namespace's first, all of the namespace.

    Orphans of a namespace become children of its first process.
    """
    by_parent: dict[int, list[Process]] = {}
    family: list[Process] = []
    for process in table:
        by_parent.setdefault(process.parent, []).append(process)
        if process.pid == pid:
            family.append(process)
    for process in family:  # it grows as it is walked
        family += by_parent.get(process.pid, [])
    return family


def open_files(family: Iterable[Process]) -> Iterator["os.DirEntry[str]"]:
    """Give what each process holds open, as links whose `stat` is that of the file itself."""
    for process in family:
        with suppress(OSError), os.scandir(f"{PROC}/{process.pid}/fd") as entries:
            yield from entries


def is_in_its_exec(pid: int) -> bool:
    """Say whether a process is being made another program, and shows no environment meanwhile.

    Nor a command line: Linux gives both from the moment on at which both are complete, and lets
    nobody start a program without a first argument (`get_mm_cmdline` and `environ_read` in
    https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git/tree/fs/proc/base.c?h=v6.1).
    """
    return _read(pid, "cmdline") == b""


def has_in_environment(pid: int, text: bytes) -> bool:
    r"""Say whether the environment a process was started with holds `text`.

    `text` begins with a NUL and is compared with the environment after a NUL of its own, so
    `b"\0NAME=value\0"` matches a whole variable and `b"\0NAME=va"` the beginning of one.
    """
    return text in b"\0" + (_read(pid, "environ") or b"")


def _read(pid: int, name: str) -> bytes | None:
    """Give what the kernel tells of a process, None when the process is gone or is not ours."""
    try:
        with open(f"{PROC}/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
            return file.readall()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


class Family:
    """The processes of one box, or of all boxes: those with its mark, and what they brought up.

    It remembers every session it has seen, since a process may drop its environment between one
    look and the next, and lose its parent to the kill in between.
    """

    def __init__(self, mark: bytes, root: int | None = None) -> None:
        """Look for `mark`; with `root` (the first process, not yet reaped) only since its start."""
        first = read_process(root) if root is not None else None
        self._mark = mark
        self._spared = _lineage()
        self._since = first.started if first else 0
        self._sessions = {first.pid} if first else set()

    def look(self) -> "Look":
        """Tell who of the family can still run, and whether that is all."""
        table = [
            p for p in process_table() if p.started >= self._since and p.pid not in self._spared
        ]
        # Asked first: who is in it now may be through when its environment is read.
        in_exec = {p.pid for p in table if p.is_alive and is_in_its_exec(p.pid)}
        family = {p.pid for p in table if has_in_environment(p.pid, self._mark)}
        size = -1
        while size != len(family):
            size = len(family)
            self._sessions |= {p.session for p in table if p.pid in family} - {os.getsid(0)}
            family |= {p.pid for p in table if p.parent in family or p.session in self._sessions}
        living = {p.pid for p in table if p.pid in family and p.is_alive}
        return Look(living, is_sure=not in_exec - family)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a family saw: who lives, and whether everybody could be told."""

    living: set[int]
    is_sure: bool


def send(signal: Signals, pids: set[int]) -> None:
    """Send a signal to each; those that are gone already are no error."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal)


async def sweep(family: Family) -> int:
    """Kill until nothing of the family is left; say how many processes there were."""
    clock = asyncio.get_running_loop().time
    deadline, last_doubt = clock() + LONGEST_SWEEP, clock() + LONGEST_EXEC
    ended: set[int] = set()
    quiet_looks = 0
    while quiet_looks < QUIET_LOOKS:
        look = await asyncio.to_thread(_stop, family)
        is_quiet = not look.living and (look.is_sure or clock() > last_doubt)
        quiet_looks = quiet_looks + 1 if is_quiet else 0
        if look.living:
            ended, last_doubt = ended | look.living, clock() + LONGEST_EXEC
            send(SIGKILL, look.living)
        if look.living and clock() > deadline:
            log.error("box.survived", pids=sorted(look.living))
            break
        await asyncio.sleep(0.002)
    return len(ended)


def _stop(family: Family) -> Look:
    """Let nobody of the family go on, and tell who they are: then all can be killed at once.

    Killed one by one, a process that got a session of its own and a child after it was seen would
    leave that child without any sign of where it comes from.
    """
    look, stopped = family.look(), set[int]()
    for _ in range(MOST_STOPS):
        if look.living <= stopped:
            break
        send(SIGSTOP, look.living - stopped)
        stopped |= look.living
        look = family.look()
    return look


def _lineage() -> set[int]:
    """Give this process and those it comes from, which are never part of a box of ours."""
    lineage: set[int] = set()
    process = read_process(os.getpid())
    while process is not None:
        lineage.add(process.pid)
        process = read_process(process.parent)
    return lineage


def process_table() -> Iterator[Process]:
    """Give every process of this machine but the kernel's own."""
    for name in os.listdir(PROC):  # noqa: PTH208 - only the names, thousands of them
        process = read_process(int(name)) if name.isdecimal() else None
        if process is not None and not process.is_kernel:
            yield process
