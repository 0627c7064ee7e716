"""How much disk boxes use, measured from the outside, and how much is left."""

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from codebot.sandbox.processes import descendants, open_files, process_table
from codebot.sandbox.surroundings import HOME, WORKSPACE

log = structlog.get_logger(__name__)

PER_FILE = 4096
"""Bytes that a file counts besides its blocks: a million empty files fill a disk's table, too."""

_DU = "/usr/bin/du"
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


def disk_of(folders: Iterable[Path], bwrap: str, env: Mapping[str, str]) -> int | None:
    """Measure what folders hold, whatever their modes; None where that cannot be told in time.

    `du` gets to any depth and follows no link. `bwrap` is the program that makes it root of its own
    files, unless it is root: a box can close a folder even to the user that owns it (mode 0), and
    what lay in there would count as nothing. `env` is what it is found by, should it be left.
    """
    places = [str(folder) for folder in folders]
    opened = [] if os.geteuid() == 0 else [bwrap, *_ROOT_OF_ITS_OWN]
    sizes = [_sum_of([*opened, _DU, "-scx", unit, "--", *places], env) for unit in _UNITS]
    blocks, count = sizes
    return None if blocks is None or count is None else blocks + count * PER_FILE


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


_UNITS = ("--block-size=1", "--inodes")
_ROOT_OF_ITS_OWN = (
    *("--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "CAP_DAC_READ_SEARCH"),
    *("--ro-bind", "/", "/", "--die-with-parent", "--"),
)


def _sum_of(measuring: list[str], env: Mapping[str, str]) -> int | None:
    """Run `du` and give its last line's number; what vanished meanwhile is no failure."""
    try:
        done = subprocess.run(  # noqa: S603 - a program of the system, on folders of our own
            measuring,
            capture_output=True,
            env={**env, "LC_ALL": "C"},
            timeout=_LONGEST_MEASURE,
            check=False,
        )
        return int(done.stdout.splitlines()[-1].split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        log.warning("box.disk_not_measured", error=type(error).__name__)
        return None
