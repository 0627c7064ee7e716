"""What a running process has used so far, as the kernel counts it."""

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> Mapping[str, float]:
    """Give Rss and Pss in megabytes (proc_pid_smaps(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: line.split()[1] for line in lines}
    return {name: int(sizes[name]) * 1024 / 1e6 for name in ("Rss", "Pss")}


def cpu_seconds_of(pid: int) -> float:
    """Give the seconds of CPU that the process itself has used (utime, stime: proc_pid_stat(5))."""
    return _seconds(pid, 11, 12)


def children_cpu_seconds_of(pid: int) -> float:
    """Give the seconds of CPU that its children had used when it waited for them."""
    return _seconds(pid, 13, 14)


def _seconds(pid: int, *fields: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(after_name[field]) for field in fields) / _TICKS
