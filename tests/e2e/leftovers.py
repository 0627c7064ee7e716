"""What tasks may leave behind on a machine, looked for where it would be."""

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from codebot.domain.task import TaskId
from codebot.sandbox.identity import uid_of
from codebot.sandbox.marks import short_mark
from e2e.github_service import Shop


def leftovers(shop: Shop, tasks: Iterable[str]) -> set[str]:
    """Give what tasks may leave: mounts, groups, loop devices, folders, users, half made things.

    Only what is told apart by the service or the task: other tests run beside this one.
    """
    mark = short_mark(str(shop.work_dir))
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    groups = map(str, Path("/sys/fs/cgroup").rglob(f"box-{mark}-*"))
    loops = [file.read_text() for file in Path("/sys/block").glob("loop*/loop/backing_file")]
    folders = map(str, Path(tempfile.gettempdir()).glob(f"codebot-check-{mark}*"))
    half_made = [
        str(path)
        for parent in (shop.work_dir, *(shop.folder / "codebot_data").glob("*/"))
        for pattern in (".new-*", ".gone-*", "*/*.scratch")
        for path in parent.glob(pattern)
    ]
    of_this = [line for line in (*mounts, *loops) if str(shop.folder) in line]
    return {
        *of_this,
        *groups,
        *folders,
        *half_made,
        *_processes_of({uid_of(TaskId(id_)) for id_ in tasks}),
    }


def _processes_of(users: Collection[int]) -> Iterator[str]:
    """Give what runs as one of these; the dead wait for whoever is pid 1 to take note of them."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            text = status.read_text()
            found = re.search(r"^Uid:\s+(\d+)", text, re.MULTILINE)
            if found and int(found[1]) in users and "(zombie)" not in text:
                yield f"process {status.parent.name}"
