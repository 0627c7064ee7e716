"""How a service finds the processes of its boxes again after a crash: by a variable they carry."""

import asyncio
import hashlib
import os

from codebot.domain.task import TaskId
from codebot.sandbox.processes import Family, sweep

MARK = "CODEBOT_BOX"


def mark_of(service: str, task_id: str) -> str:
    """Give the variable's value; `service` tells this service from others, and stays its secret.

    >>> mark_of("/srv/codebot/work", "task-1")
    '05e1ee38bf3f:task-1'
    """
    return f"{hashlib.sha256(os.fsencode(service)).hexdigest()[:12]}:{task_id}"


def variable(service: str, task_id: TaskId | None) -> bytes:
    """Give what the environment of a task's boxes holds, or how it begins for all tasks."""
    end = "\0" if task_id else ""
    return os.fsencode(f"\0{MARK}={mark_of(service, task_id or '')}{end}")


async def reap_marked(service: str, task_id: TaskId | None) -> int:
    """End every process with the mark of one task or of all, and what it brought up; count them."""
    return await sweep(await asyncio.to_thread(Family, variable(service, task_id)))
