"""Which user a task's boxes run as, when the service itself runs as root.

bwrap started by root is no boundary: a box that kept uid 0 could write to the host's core_pattern.
So each task has a uid of its own. It follows from the task's id, so that nothing is leased, and
nothing has to be given back after a crash.
"""

import hashlib
import os
from pathlib import Path

from codebot.domain.task import TaskId

FIRST_UID = 0x70000000
"""The beginning of a range that neither distributions nor container managers hand out:
https://systemd.io/UIDS-GIDS/"""

UIDS = 1 << 27
"""Twenty tasks at once have the same uid once in a million times, and then share it harmlessly:
what keeps boxes apart are their namespaces; the uid bounds their number of processes."""


def uid_of(task_id: TaskId) -> int:
    """Give the uid of a task's boxes, below a root service.

    >>> FIRST_UID <= uid_of(TaskId("a")) < FIRST_UID + UIDS, uid_of("a") == uid_of("b")
    (True, False)
    """
    digest = hashlib.sha256(task_id.encode()).digest()
    return FIRST_UID + int.from_bytes(digest[:8], "big") % UIDS


def box_user(task_id: TaskId) -> int | None:
    """Give the uid that a task's boxes drop to; None where the service can be nobody else.

    That is an ordinary user, or the root of a user namespace (a rootless container), whose map
    does not reach so far.
    """
    uid = uid_of(task_id)
    if os.geteuid() != 0 or not _is_mapped(uid, Path("/proc/self/uid_map").read_text()):
        return None
    return uid


def _is_mapped(uid: int, uid_map: str) -> bool:
    """Say whether a user namespace knows a uid: lines of first, host's first, and count.

    >>> _is_mapped(5, "0 0 4294967295"), _is_mapped(5, "0 1000 1")
    (True, False)
    """
    ranges = [tuple(map(int, line.split())) for line in uid_map.splitlines()]
    return any(first <= uid < first + count for first, _, count in ranges)
