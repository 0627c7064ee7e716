"""How much memory boxes use, read from /proc: of their processes, and in files that are memory.

What a kernel keeps for a box besides (buffers of sockets and pipes, page tables) is seen by no such
look. For that, and for anything else that is overlooked, there is `available`: when the machine
itself runs short, the largest box goes.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codebot.sandbox.processes import Process, descendants, process_table

TMPFS = ("tmp", "dev/shm", "run")
"""Of the box."""

PER_FILE = 1024
"""Bytes of kernel memory that an empty file in memory takes."""

UNNAMED = "/memfd:"
WORTH_A_LOOK = 32 * 1024**2
"""Bytes of shared memory that the machine has more of than before, until files without a name are
looked for: reading every descriptor of a box takes 5 ms."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The memory of the whole machine, in bytes."""

    available: int
    shared: int


def look_at_machine() -> Machine:
    """Give what /proc/meminfo says (https://docs.kernel.org/filesystems/proc.html#meminfo)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    sizes = {
        name: int(rest.split()[0]) * 1024 for name, _, rest in (x.partition(":") for x in lines)
    }
    return Machine(sizes["MemAvailable"], sizes["Shmem"])


def memory_of(boxes: Iterable[int], limit: int, *, shared_before: int) -> Mapping[int, int]:
    """Give the bytes that each box uses; a box is known by its first process.

    What processes share is counted once (Pss), but only where it could matter: that takes 1 ms a
    process. `shared_before` is the machine's shared memory before there were boxes.
    """
    table = list(process_table())
    families = {first: descendants(first, table) for first in boxes}
    files = {first: _tmpfs_of(first) for first in families}
    unknown = look_at_machine().shared - shared_before - sum(files.values())
    used = {}
    for first, family in families.items():
        held = files[first]
        if unknown > WORTH_A_LOOK:
            held += _unnamed_files_of(family)
        resident = sum(process.resident for process in family)
        used[first] = held + (resident if resident + held <= limit else sum(map(_pss_of, family)))
    return used


def _pss_of(process: Process) -> int:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _tmpfs_of(first: int) -> int:
    """Give the bytes that lie in the box's own memory file systems."""
    size = 0
    for name in TMPFS:
        with suppress(OSError):
            seen = os.statvfs(Path("/proc", str(first), "root", name))
            size += (seen.f_blocks - seen.f_bfree) * seen.f_frsize
            size += (seen.f_files - seen.f_ffree) * PER_FILE
    return size


def _unnamed_files_of(family: Iterable[Process]) -> int:
    """Give the bytes in files of memory that have no name, each counted once."""
    sizes: dict[int, int] = {}
    for process in family:
        with suppress(OSError):
            for entry in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    if os.readlink(entry.path).startswith(UNNAMED):  # noqa: PTH115 - thousands
                        seen = entry.stat()
                        sizes[seen.st_ino] = seen.st_blocks * 512
    return sum(sizes.values())
