"""How much disk boxes use, measured from the outside, and how much is left."""

import os
import stat
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

import structlog

from codebot.sandbox.processes import descendants, open_files, process_table
from codebot.sandbox.surroundings import HOME, WORKSPACE

log = structlog.get_logger(__name__)

PER_FILE = 4096
"""Bytes that a file counts besides its blocks: a million empty files fill a disk's table, too."""

FEWEST_FILES = 10_000
"""As with bytes: what must stay free for everybody else."""

_FIND = "/usr/bin/find"
_BLOCK = 512
_PIECE = 1 << 16
_LONGEST_MEASURE = 60
_ENDLESS = 1 << 62


def free_space(folder: Path) -> tuple[int, int]:
    """Give the bytes and the files that still have room where a folder lies."""
    try:
        seen = os.statvfs(folder)
    except OSError:
        return _ENDLESS, _ENDLESS
    files = seen.f_favail if seen.f_files else _ENDLESS
    return seen.f_bavail * seen.f_frsize, files


def has_room(folder: Path, *, space: int, files: int) -> bool:
    """Say whether so many bytes and so many files still have room where a folder lies."""
    free, files_free = free_space(folder)
    return free >= space and files_free >= files


def disk_of(folders: Iterable[Path], limit: int, bwrap: str, env: Mapping[str, str]) -> int | None:
    """Measure what folders hold, whatever their modes; None where that cannot be told in time.

    Nothing is looked at once it is more than `limit`: a tree that grows as fast as it is read has
    no end. `find` gets to any depth and follows no link. `bwrap` is the program that makes it root
    of its own files, unless it is root: a box can close a folder even to the user that owns it
    (mode 0), and what lay in there would count as nothing. `env` is what it is found by, should it
    be left.
    """
    opened = [] if os.geteuid() == 0 else [bwrap, *_ROOT_OF_ITS_OWN]
    command = [*opened, _FIND, *map(str, folders), "-xdev", *_SIZES]
    try:
        return _sum_of(command, limit, {**env, "LC_ALL": "C"})
    except (OSError, ValueError) as error:
        log.warning("box.disk_not_measured", error=type(error).__name__)
        return None


def deleted_files_of(first: int, folder: Path) -> int:
    """Give the bytes of files that a box holds open after it has deleted them, each counted once.

    `first` is the box's first process; files on other disks than that of `folder` do not count,
    but for those of an overlay, which is a disk of its own to whoever asks.
    """
    sizes: dict[tuple[int, int], int] = {}
    disks = {*_disks_of(folder, *(f"/proc/{first}/root{place}" for place in (WORKSPACE, HOME)))}
    with suppress(OSError):
        for entry in open_files(descendants(first, process_table())):
            with suppress(OSError):
                seen = entry.stat()
                if seen.st_dev in disks and stat.S_ISREG(seen.st_mode) and not seen.st_nlink:
                    sizes[seen.st_dev, seen.st_ino] = seen.st_blocks * 512
    return sum(sizes.values())


def _disks_of(*places: Path | str) -> Iterator[int]:
    for place in places:
        with suppress(OSError):
            yield os.stat(place).st_dev  # noqa: PTH116


_SIZES = (
    *("(", "-type", "d", "-o", "-links", "1", ")", "-printf", "%b\n"),
    *("-o", "-printf", "%b %D:%i\n"),
)
"""Its blocks for each file; where it has more than one name, with its number: it counts once."""

_ROOT_OF_ITS_OWN = (
    *("--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "CAP_DAC_READ_SEARCH"),
    *("--ro-bind", "/", "/", "--die-with-parent", "--"),
)


def _sum_of(command: list[str], limit: int, env: Mapping[str, str]) -> int | None:
    """Add up what is listed, to its end or to the limit; what vanished meanwhile is no failure."""
    total, linked = 0, set[bytes]()
    with _listing(command, env) as (lines, is_late):
        while total <= limit and (some := lines.readlines(_PIECE)):
            further = {line for line in some if b" " in line} - linked
            linked |= further
            blocks = [line for line in some if b" " not in line]
            blocks += [line.split()[0] for line in further]
            total += sum(map(int, blocks)) * _BLOCK + len(blocks) * PER_FILE
    is_whole = total > 0 and not is_late.is_set()  # a folder counts itself at the least
    return total if is_whole or total > limit else None


@contextmanager
def _listing(
    command: list[str], env: Mapping[str, str]
) -> Iterator[tuple[IO[bytes], threading.Event]]:
    """Run a program and give its lines; it ends with the block, or when it takes too long."""
    is_late = threading.Event()
    program = subprocess.Popen(  # noqa: S603 - a program of the system, on folders of our own
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    )

    def end() -> None:
        is_late.set()
        program.kill()

    clock = threading.Timer(_LONGEST_MEASURE, end)
    clock.start()
    try:
        with program, cast("IO[bytes]", program.stdout) as lines:
            yield lines, is_late
            clock.cancel()
            program.kill()
    finally:
        clock.cancel()
