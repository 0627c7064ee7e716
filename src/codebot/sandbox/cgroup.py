"""Control groups, where the service was given some of its own: memory and processes by the kernel.

systemd hands them over with `Delegate=yes`. Elsewhere there are none, and `watch.py` keeps memory
alone. A limit is read back after it is set: some systems accept it and do nothing.
https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from codebot.domain.box import BoxLimits
from codebot.errors import SandboxError

log = structlog.get_logger(__name__)

PATIENCE, PAUSE = 2.0, 0.02
"""Seconds that processes of a dead service may take to end, and between two looks."""

NEEDED = ("memory", "pids")
SERVICE = "service"
"""Where the service itself moves: a group with processes may not have groups below it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The group of one box."""

    folder: Path

    @property
    def door(self) -> str:
        """The file by which a process joins, with all that it starts from then on."""
        return str(self.folder / "cgroup.procs")

    def ran_out_of_memory(self) -> bool:
        """Say whether the kernel ended something in here for its memory."""
        return self._happened("memory.events", "oom_kill")

    def ran_out_of_processes(self) -> bool:
        """Say whether the kernel refused a process or a thread in here."""
        return self._happened("pids.events", "max")

    def _happened(self, file: str, event: str) -> bool:
        with suppress(OSError):
            for line in (self.folder / file).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == event and count != "0":
                    return True
        return False

    def remove(self, patience: float = 0.0) -> None:
        """End what is left in it, and remove it; what ends may take so many seconds for it."""
        kill = self.folder / "cgroup.kill"
        with suppress(OSError):
            if kill.exists():  # since Linux 5.14
                kill.write_text("1")
        until = time.monotonic() + patience
        while (trouble := self._try_to_remove()) and time.monotonic() < until:
            time.sleep(PAUSE)
        if trouble:
            log.warning("cgroup.stays", folder=str(self.folder), error=trouble)

    def _try_to_remove(self) -> str:
        """Give what is in the way: something in it may still be being taken down."""
        try:
            self.folder.rmdir()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return error.strerror or str(error)
        return ""


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The groups below the service's own; `mark` tells its boxes from another service's."""

    own: Path
    mark: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def open(self, limits: BoxLimits) -> Group:
        """Make a group with these limits; raises `SandboxError` when they are not in force."""
        group = Group(self.own / f"box-{self.mark}-{os.getpid()}-{next(self._numbers)}")
        try:
            group.folder.mkdir()
            for name, value in _settings(limits):
                _set(group.folder / name, value)
        except OSError as error:
            group.remove()
            raise SandboxError(f"{error.filename}: {error.strerror}.") from error
        return group

    def reap(self) -> int:
        """Remove what boxes of a dead service left; say how many groups."""
        left = list(self.own.glob(f"box-{self.mark}-*"))
        for folder in left:
            Group(folder).remove(PATIENCE)
        return len(left)


def find_cgroups(mark: str, *, proc: Path = Path("/proc/self")) -> Cgroups | None:
    """Give the groups that this service may make, None where it may not; moves into one of them."""
    own = _own_group(proc)
    if own is None or not os.access(own / "cgroup.procs", os.W_OK):
        return None
    try:
        if not set(NEEDED) <= set((own / "cgroup.controllers").read_text().split()):
            return None
        service = own if own.name == SERVICE else own / SERVICE
        service.mkdir(exist_ok=True)
        (service / "cgroup.procs").write_text(str(os.getpid()))
        controllers = " ".join(f"+{name}" for name in NEEDED)
        (service.parent / "cgroup.subtree_control").write_text(controllers)
    except OSError:  # others live in the group, or it is not ours to divide
        with suppress(OSError):
            (own / "cgroup.procs").write_text(str(os.getpid()))
            (own / SERVICE).rmdir()
        return None
    return Cgroups(service.parent, mark)


def _own_group(proc: Path) -> Path | None:
    """Give the folder of this process's group; None for the root of all groups."""
    try:
        groups = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:
        return None
    path = next((line[3:] for line in groups if line.startswith("0::")), "/")
    top = next((line.split()[4] for line in mounts if " - cgroup2 " in line), None)
    return None if top is None or path == "/" else Path(top) / path.lstrip("/")


def _settings(limits: BoxLimits) -> Iterator[tuple[str, str]]:
    yield "memory.max", str(limits.memory)
    yield "memory.swap.max", "0"
    yield "memory.oom.group", "1"
    yield "pids.max", str(limits.processes)


def _set(file: Path, value: str) -> None:
    if file.name == "memory.swap.max" and not file.exists():
        return  # a kernel without swap
    file.write_text(value)
    if file.read_text().strip() != value:
        raise OSError(0, f"the limit {value} is not in force", str(file))
