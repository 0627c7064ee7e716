"""`codebot serve`: HTTP before the parts that work on tasks, until a signal."""

import asyncio
import gc
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version

import structlog
import uvloop

from codebot.app.forges import repository_rules
from codebot.app.parts import Parts, open_parts
from codebot.app.trial import require_sandbox
from codebot.domain.ports import Finding
from codebot.intake.api import build_api
from codebot.intake.keys import ApiKeys
from codebot.intake.server import Server, listen
from codebot.intake.service import Service
from codebot.queue.lock import DataDirLock
from codebot.queue.worker import Worker
from codebot.sandbox.privacy import hide_environment
from codebot.settings import Settings
from codebot.store.store import new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.web.pages import add_pages

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


def serve(settings: Settings, *, redactor: Redactor, announce: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; raises `ConfigError` and `SandboxUnavailable` at the start.

    The first signal lets runs end within the drain timeout and interrupts the others so that they
    go on after the next start; a second one does not wait. `announce` is called when nothing that
    an operator has to mend stands in the way any more.
    """
    hide_environment()
    _take_open_files()
    with (
        DataDirLock(settings.data_dir),
        # A service sweeps workspaces that it does not know, and ends what runs in them.
        DataDirLock(settings.work_dir, setting="CODEBOT_WORK_DIR"),
        listen(settings.host, settings.port) as listening,
    ):
        uvloop.run(_serve(settings, redactor, listening, announce))


def _take_open_files() -> None:
    """Let this process have all the open files that it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MOST_OPEN_FILES), most))


async def _serve(
    settings: Settings, redactor: Redactor, listening: socket.socket, announce: Callable[[], None]
) -> None:
    public_url = settings.public_url or f"http://localhost:{settings.port}"
    async with open_parts(settings, redactor, public_url=public_url) as parts:
        await parts.recover()
        findings = await require_sandbox(parts)
        announce()
        worker = parts.worker(settings.workers)
        retention = parts.retention()
        server = _server(settings, parts, worker, findings, retention.sweep_soon)
        pause = max(SHORTEST_SWEEP_PAUSE, min(settings.task_retention / 4, LONGEST_SWEEP_PAUSE))
        async with (
            _meanwhile(retention.keep_sweeping(pause)),
            _meanwhile(parts.budget().keep_holding_down(BUDGET_PAUSE)),
            _meanwhile(_look_around(parts, findings)),
        ):
            worker.start()
            # Measured: the 99th percentile of a submit falls from 56 to 22 ms. Nothing is collected
            # before: among 100,000 objects there are a handful to be found, in 70 ms.
            gc.freeze()
            sys.setswitchinterval(SWITCH_SECONDS)
            await server.serve([listening])
            await _stop(worker, parts)


def _server(
    settings: Settings,
    parts: Parts,
    worker: Worker,
    findings: list[Finding],
    sweep_soon: Callable[[], None],
) -> Server:
    api = build_api(
        Service(
            keys=ApiKeys(settings.api_keys),
            queue=parts.queue,
            store=parts.store,
            rules=repository_rules(settings),
            now=utc_now,
            new_id=new_uuid7,
            version=version("codebot"),
            workers=settings.workers,
            checks=lambda: findings,
            sweep_soon=sweep_soon,
        )
    )
    add_pages(api, parts.store)
    return Server(api, drain=lambda: worker.drain(settings.drain_timeout))


async def _look_around(parts: Parts, findings: list[Finding]) -> None:
    """Check what a start does not wait for: the agent, and GitHub, which may be down for now."""
    for part in parts.outside:
        found = await part.check()
        findings.extend(found)
        for finding in found:
            if not finding.ok:
                log.warning("check.failed", check=finding.name, detail=finding.detail)


async def _stop(worker: Worker, parts: Parts) -> None:
    """Interrupt what a second signal did not wait for; after a whole drain there is nothing."""
    if worker.running:
        interrupting = asyncio.create_task(worker.drain(timedelta(0)))
        await asyncio.sleep(0)  # the runs must know that they are interrupted before boxes end
        await parts.sandbox.reap()
        await interrupting


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something beside the block, and end it with the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
