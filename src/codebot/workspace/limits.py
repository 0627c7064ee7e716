"""What a change may amount to before the service refuses to carry it out of the workspace."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a workspace.

    `fetch_pauses` are the seconds before a fetch that failed on its way is tried again; after
    them the whole run waits. `max_file_bytes` is what GitHub accepts in a push at most;
    `max_total_bytes` is for all new files together, unpacked. `protected_paths` are patterns of
    paths that no change may touch (`protected.py`); `allowed_filters` name those of the attributes'
    filters whose files may go out as they are (`filters.py`). `max_large_bytes` is for one object
    of Git LFS that a checkout is given, `max_large_total_bytes` for all of them: git takes each
    into memory, and every tree of a task has its own copy.
    """

    fetch_timeout: timedelta = timedelta(hours=1)
    fetch_pauses: tuple[float, ...] = (0.5, 2.0)
    collect_timeout: timedelta = timedelta(minutes=10)
    scan_timeout: timedelta = timedelta(minutes=1)
    max_files: int = 10_000
    max_commits: int = 1_000
    max_file_bytes: int = 100 * 1024 * 1024
    max_total_bytes: int = 512 * 1024 * 1024
    max_pack_bytes: int = 256 * 1024 * 1024
    max_large_bytes: int = 512 * 1024 * 1024
    max_large_total_bytes: int = 2 * 1024 * 1024 * 1024
    protected_paths: tuple[str, ...] = ()
    allowed_filters: tuple[str, ...] = ()
