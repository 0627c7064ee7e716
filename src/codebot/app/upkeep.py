"""What goes on beside the work of a node, whichever way tasks come in."""

import asyncio
import gc
import resource
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import structlog

from codebot.app.parts import Parts
from codebot.domain.ports import Finding
from codebot.queue.lock import DataDirLock
from codebot.queue.retention import Retention
from codebot.queue.worker import Worker
from codebot.settings import Settings

log = structlog.get_logger(__name__)

SHORTEST_SWEEP_PAUSE = timedelta(seconds=1)
BUDGET_PAUSE = timedelta(minutes=1)
LONGEST_SWEEP_PAUSE = timedelta(minutes=10)

MOST_OPEN_FILES = 65_536
"""Of them a box can take 64 connections, and as many again to where they lead: with the 1,024 that
a process begins with, sixteen boxes could leave none for anybody else."""

SWITCH_SECONDS = 0.0001
"""How long a thread waits for the interpreter before it asks for it. The store's writer does so a
dozen times in a batch: with Python's 5 ms, SQLite stood still while the loop was busy. Measured:
15 % more submits from 32 clients."""


@contextmanager
def owned(settings: Settings) -> Iterator[None]:
    """Own for the block what no other process may: raises `ConfigError` naming the one that does.

    A node sweeps workspaces that it does not know, and ends what runs in them. One that works on
    nothing has none. The data directory is somebody's own where the database is a file.
    """
    with ExitStack() as stack:
        if isinstance(settings.database, Path):
            stack.enter_context(DataDirLock(settings.data_dir))
        if settings.workers:
            stack.enter_context(DataDirLock(settings.work_dir, setting="CODEBOT_WORK_DIR"))
        yield


def take_open_files() -> None:
    """Let this process have all the open files that it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MOST_OPEN_FILES), most))


def settle_down() -> None:
    """Make this process quick for a long life: everything that stays has been made."""
    # Measured: the 99th percentile of a submit falls from 56 to 22 ms. Nothing is collected
    # before: among 100,000 objects there are a handful to be found, in 70 ms.
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)


@asynccontextmanager
async def kept_up(
    parts: Parts, retention: Retention, findings: list[Finding]
) -> AsyncIterator[None]:
    """Keep a node that works on tasks in order beside the block, and in touch with the others."""
    keep = parts.settings.task_retention
    pause = max(SHORTEST_SWEEP_PAUSE, min(keep / 4, LONGEST_SWEEP_PAUSE))
    async with (
        meanwhile(parts.queue.keep_in_touch()),
        meanwhile(retention.keep_sweeping(pause)),
        meanwhile(parts.budget().keep_holding_down(BUDGET_PAUSE)),
        meanwhile(_look_around(parts, findings)),
    ):
        yield


@asynccontextmanager
async def meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something beside the block, and end it with the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def stop(worker: Worker, parts: Parts) -> None:
    """Interrupt what a second signal did not wait for; after a whole drain there is nothing."""
    if worker.running:
        interrupting = asyncio.create_task(worker.drain(timedelta(0)))
        await asyncio.sleep(0)  # the runs must know that they are interrupted before boxes end
        await parts.sandbox.reap()
        await interrupting


async def _look_around(parts: Parts, findings: list[Finding]) -> None:
    """Check what a start does not wait for: the agent, and GitHub, which may be down for now."""
    for part in parts.outside:
        found = await part.check()
        findings.extend(found)
        for finding in found:
            if not finding.ok:
                log.warning("check.failed", check=finding.name, detail=finding.detail)
