"""The limits of a box that the kernel keeps for each process or user, and what is said of all."""

import os
import resource
from pathlib import Path

from codebot.domain.box import BoxLimits, BoxSpec
from codebot.domain.ports import Finding
from codebot.sandbox.cgroup import Cgroups

AFTER_XCPU = 5
"""Seconds of CPU time between the signal that names this limit, and the one that does not."""

NICENESS, NICENESS_IN_BACKGROUND = 5, 15
OOM_SCORE = 500
"""Should the machine run out of memory or cores all the same, boxes give way before the service."""


def niceness_of(spec: BoxSpec) -> int:
    """Give how far a box gives way to the service, from before anything of it runs."""
    return NICENESS_IN_BACKGROUND if spec.in_background else NICENESS


def limiting_words(limits: BoxLimits, spec: BoxSpec, *, own_user: bool) -> list[str]:
    """Give what stands before the command of a box that runs as this very user, or as another."""
    processes = limits.processes + (_own_processes() if own_user else 0)
    seconds = round(spec.timeout.total_seconds() * (os.cpu_count() or 1)) + 1
    most = seconds + AFTER_XCPU
    return [
        "/usr/bin/prlimit",
        f"--nproc={_at_most(resource.RLIMIT_NPROC, processes)}",
        f"--nofile={_at_most(resource.RLIMIT_NOFILE, limits.open_files)}",
        f"--fsize={_at_most(resource.RLIMIT_FSIZE, limits.file_size)}",
        f"--cpu={_at_most(resource.RLIMIT_CPU, seconds)}:{_at_most(resource.RLIMIT_CPU, most)}",
        "--core=0",
        "--",
    ]


def limits_in_force(limits: BoxLimits, cgroups: Cgroups | None) -> Finding:
    """Say what bounds a box, and by which means."""
    mebibyte = 1024**2
    memory = "a control group" if cgroups else "watching it (there is no control group for it here)"
    processes = "a control group and " if cgroups else ""
    detail = (
        f"{limits.memory // mebibyte} MiB of memory by {memory}; {limits.disk // mebibyte} MiB of "
        f"disk by watching it; {limits.processes} processes by {processes}the kernel; "
        f"{limits.open_files} open files, files of {limits.file_size // mebibyte} MiB and CPU time "
        "by the kernel; wall clock and output by the service."
    )
    return Finding("limits", ok=True, detail=detail)


def _at_most(limit: int, wanted: int) -> int:
    """Give a limit that may still be set: whoever set this machine up may allow less."""
    _, most = resource.getrlimit(limit)
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most)


def _own_processes() -> int:
    """Give a number not below that of this user's processes: that of all, which costs nothing.

    An ordinary user's limit counts what runs outside the box, too.
    """
    tasks = Path("/proc/loadavg").read_text().split()[3]
    return int(tasks.partition("/")[2])
