"""`codebot serve`: HTTP before the parts that work on tasks, until a signal."""

import socket
from collections.abc import Awaitable, Callable
from importlib.metadata import version

import uvloop

from codebot.app.forges import repository_rules
from codebot.app.parts import open_parts
from codebot.app.storage import make_queue, open_store
from codebot.app.trial import require_sandbox
from codebot.app.upkeep import kept_up, meanwhile, owned, settle_down, stop, take_open_files
from codebot.domain.ports import Finding, Queue
from codebot.intake.api import build_api
from codebot.intake.keys import ApiKeys
from codebot.intake.server import Server, listen
from codebot.intake.service import Service
from codebot.sandbox.privacy import hide_environment
from codebot.settings import Settings
from codebot.store.store import Store, new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.web.pages import add_pages


def serve(settings: Settings, *, redactor: Redactor, announce: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; raises `ConfigError` and `SandboxUnavailable` at the start.

    The first signal lets runs end within the drain timeout and interrupts the others so that they
    go on after the next start; a second one does not wait. `announce` is called when nothing that
    an operator has to mend stands in the way any more. Without workers of its own it only takes
    tasks in, for the nodes that do them.
    """
    hide_environment()
    take_open_files()
    serving = _serve_and_work if settings.workers else _serve_others
    with owned(settings), listen(settings.host, settings.port) as listening:
        uvloop.run(serving(settings, redactor, listening, announce))


async def _serve_and_work(
    settings: Settings, redactor: Redactor, listening: socket.socket, announce: Callable[[], None]
) -> None:
    public_url = settings.public_url or f"http://localhost:{settings.port}"
    async with open_parts(settings, redactor, public_url=public_url) as parts:
        await parts.recover()
        findings = await require_sandbox(parts)
        announce()
        worker = parts.worker(settings.workers)

        async def drain() -> None:
            await worker.drain(settings.drain_timeout)

        retention = parts.retention()
        server = _server(settings, parts.store, parts.queue, findings, drain, retention.sweep_soon)
        async with kept_up(parts, retention, findings):
            worker.start()
            settle_down()
            await server.serve([listening])
            await stop(worker, parts)


async def _serve_others(
    settings: Settings, redactor: Redactor, listening: socket.socket, announce: Callable[[], None]
) -> None:
    """Take tasks in, and tell of them: no box is made here, and no model asked."""
    store = await open_store(settings, redactor)
    try:
        queue = make_queue(settings, store)
        announce()
        server = _server(settings, store, queue, [], _nothing_to_drain, _nothing_to_sweep)
        async with meanwhile(queue.keep_in_touch()):
            settle_down()
            await server.serve([listening])
    finally:
        await store.close()


async def _nothing_to_drain() -> None:
    pass


def _nothing_to_sweep() -> None:
    pass


def _server(
    settings: Settings,
    store: Store,
    queue: Queue,
    findings: list[Finding],
    drain: Callable[[], Awaitable[None]],
    sweep_soon: Callable[[], None],
) -> Server:
    api = build_api(
        Service(
            keys=ApiKeys(settings.api_keys),
            queue=queue,
            store=store,
            rules=repository_rules(settings),
            now=utc_now,
            new_id=new_uuid7,
            version=version("codebot"),
            workers=settings.workers,
            checks=lambda: findings,
            sweep_soon=sweep_soon,
        )
    )
    add_pages(api, store)
    return Server(api, drain=drain)
