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


def mark_of(service: str, task_id: str) -> str:
    """Give the variable's value: whose box it is, and which task's."""
    return f"{short_mark(service)}:{task_id}"


def variable(service: str, task_id: TaskId | None) -> bytes:
    """Give what the environment of a task's boxes holds, or how it begins for all tasks."""
    end = "\0" if task_id else ""
    return os.fsencode(f"\0{MARK}={mark_of(service, task_id or '')}{end}")


async def reap_marked(service: str, task_id: TaskId | None) -> int:
    """End every process with the mark of one task or of all, and what it brought up; count them."""
    return await sweep(await asyncio.to_thread(Family, variable(service, task_id)))
