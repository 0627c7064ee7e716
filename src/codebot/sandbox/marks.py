"""How a service finds the processes of its boxes again after a crash: by a variable they carry."""

import asyncio
import hashlib
import os

from codebot.domain.task import TaskId
from codebot.sandbox.processes import Family, sweep

MARK = "CODEBOT_BOX"


def short_mark(service: str) -> str:
    """Tell this service from others in a few characters that say nothing about it.

    >>> short_mark("/srv/codebot/work")
    '68ea0170f814'
    """
    return hashlib.sha256(os.fsencode(service)).hexdigest()[:12]


def mark_of(service: str, task_id: str, box: str = "") -> str:
    """Give the variable's value: whose box it is, which task's, and which of the task's."""
    return f"{short_mark(service)}:{task_id}:{box}"


def variable(service: str, task_id: TaskId | None, box: str = "") -> bytes:
    """Give what the environment of a box holds, or how it begins for all of a task or of all."""
    value = mark_of(service, task_id, box) if task_id else f"{short_mark(service)}:"
    end = "\0" if box else ""
    return os.fsencode(f"\0{MARK}={value}{end}")


async def reap_marked(service: str, task_id: TaskId | None) -> int:
    """End every process with the mark of one task or of all, and what it brought up; count them."""
    return await sweep(await asyncio.to_thread(Family, variable(service, task_id)))
