"""How much memory boxes use, read from /proc: of their processes, and in files that are memory.

What a kernel keeps for a box besides (buffers of sockets and pipes, page tables) is seen by no such
look. For that, and for anything else that is overlooked, there is `available`: when the machine
itself runs short, the largest box goes.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codebot.sandbox.processes import Process, descendants, open_files, process_table

TMPFS = ("tmp", "dev/shm", "run")
"""Of the box."""

PER_FILE = 1024
"""Bytes of kernel memory that an empty file in memory takes."""

UNNAMED = "/memfd:"


def available_memory() -> int:
    """Give the bytes that the whole machine has left, by the kernel's own estimate.

    https://docs.kernel.org/filesystems/proc.html#meminfo
    """
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return 1 << 62


@dataclass(frozen=True, slots=True)
class Use:
    """What a box uses: bytes of memory, threads, and the most files that one process has open."""

    memory: int = 0
    threads: int = 0
    open_files: int = 0


def use_of(boxes: Iterable[int], limit: int, *, thoroughly: bool) -> Mapping[int, Use]:
    """Give what each box uses; a box is known by its first process, `limit` is that of memory.

    What processes share is counted once (Pss), but only where it could matter: that takes 1 ms a
    process. Files without a name are looked for where it is done `thoroughly`: every descriptor
    of a box has to be read, 0.3 ms a process.
    """
    table = list(process_table())
    families = {first: descendants(first, table) for first in boxes}
    files = {first: _tmpfs_of(first) for first in families}
    used = {}
    for first, family in families.items():
        held = files[first]
        opened: Counter[str] = Counter()
        if thoroughly:
            held += _unnamed_files_of(family, opened)
        resident = sum(process.resident for process in family)
        used[first] = Use(
            held + (resident if resident + held <= limit else sum(map(_pss_of, family))),
            sum(process.threads for process in family),
            max(opened.values(), default=0),
        )
    return used


def _pss_of(process: Process) -> int:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _tmpfs_of(first: int) -> int:
    """Give the bytes that lie in the box's own memory file systems.

    A box that begins still sees the host's, and would be ended for what others keep there.
    """
    size = 0
    for name in TMPFS:
        with suppress(OSError):
            place = Path("/proc", str(first), "root", name)
            if _is_ours(place, name):
                continue
            seen = os.statvfs(place)
            size += (seen.f_blocks - seen.f_bfree) * seen.f_frsize
            size += (seen.f_files - seen.f_ffree) * PER_FILE
    return size


def _is_ours(place: Path, name: str) -> bool:
    try:
        return place.stat().st_dev == Path("/", name).stat().st_dev
    except FileNotFoundError:
        return False


def _unnamed_files_of(family: Iterable[Process], opened: Counter[str]) -> int:
    """Give the bytes in files of memory that have no name, each counted once.

    On the way, count what each process has open.
    """
    sizes: dict[int, int] = {}
    for entry in open_files(family):
        opened[os.path.dirname(entry.path)] += 1  # noqa: PTH120 - thousands
        with suppress(OSError):
            if os.readlink(entry.path).startswith(UNNAMED):  # noqa: PTH115 - thousands
                seen = entry.stat()
                sizes[seen.st_ino] = seen.st_blocks * 512
    return sum(sizes.values())
