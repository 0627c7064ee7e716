"""`codebot worker`: works on the tasks that other nodes take in, until a signal."""

import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta

import uvloop

from codebot.app.parts import open_parts
from codebot.app.trial import require_sandbox
from codebot.app.upkeep import kept_up, owned, settle_down, stop, take_open_files
from codebot.queue.worker import Worker
from codebot.sandbox.privacy import hide_environment
from codebot.settings import Settings
from codebot.telemetry.redaction import Redactor


def work(settings: Settings, *, redactor: Redactor, announce: Callable[[], None]) -> None:
    """Work until SIGTERM or SIGINT; raises `ConfigError` and `SandboxUnavailable` at the start.

    Signals do what they do to `serve`, and `announce` is called when work can begin.
    """
    hide_environment()
    take_open_files()
    with owned(settings):
        uvloop.run(_work(settings, redactor, announce))


async def _work(settings: Settings, redactor: Redactor, announce: Callable[[], None]) -> None:
    public_url = settings.public_url or f"http://localhost:{settings.port}"
    async with open_parts(settings, redactor, public_url=public_url) as parts:
        await parts.recover()
        findings = await require_sandbox(parts)
        announce()
        worker = parts.worker(settings.workers)
        async with kept_up(parts, parts.retention(), findings):
            worker.start()
            settle_down()
            await _drained_on_signal(worker, settings.drain_timeout)
            await stop(worker, parts)


async def _drained_on_signal(worker: Worker, timeout: timedelta) -> None:  # noqa: ASYNC109  a budget
    """Wait for a signal and for the drain that it begins; a second one ends the wait."""
    first, second = asyncio.Event(), asyncio.Event()

    def hear() -> None:
        (second if first.is_set() else first).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, hear)
    await first.wait()
    draining = asyncio.create_task(worker.drain(timeout))
    at_once = asyncio.create_task(second.wait())
    await asyncio.wait([draining, at_once], return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, at_once):
        task.cancel()
    await asyncio.wait([draining, at_once])
