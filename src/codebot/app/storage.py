"""Which database the tasks are kept in, and the wait for a server that is not there yet."""

import asyncio
from datetime import timedelta
from pathlib import Path
from socket import gethostname

import structlog

from codebot.domain.ports import Queue
from codebot.errors import ConfigError, StoreUnavailable
from codebot.queue.clock import ClockSet
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.lock import unusable
from codebot.settings import Settings
from codebot.store.store import Store, new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.workspace.folders import make_private

log = structlog.get_logger(__name__)

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=15)

NODE_FILE = "node"


async def open_store(settings: Settings, redactor: Redactor) -> Store:
    """Open the database that the settings name, with every table in place.

    For a server that cannot be reached, starts, or is a standby, this waits: service and database
    often start together. Raises `ConfigError` for what a person has to mend, `StoreUnavailable`.
    """
    database = settings.database
    if isinstance(database, Path):
        return await _open_file(database, redactor)
    direct = settings.database_direct and settings.database_direct.reveal()
    pause = FIRST_PAUSE
    while True:
        try:
            return await Store.open(database.reveal(), direct=direct, redact=redactor)
        except StoreUnavailable as error:
            if error.retry_after is None:
                raise
            log.warning("store.waited_for", detail=error.detail, hint=error.hint)
        await asyncio.sleep(pause.total_seconds())
        pause = min(2 * pause, LONGEST_PAUSE)


async def _open_file(database: Path, redactor: Redactor) -> Store:
    """Open a database on this machine; what does not pass by itself is for a person to mend."""
    try:
        return await Store.open(database, redact=redactor)
    except StoreUnavailable as error:
        if error.retry_after is not None:
            raise
        problem = f"{database} cannot be used: {error.detail}"
        raise ConfigError((problem,), hint=error.hint) from error


def make_queue(settings: Settings, store: Store) -> Queue:
    """Give the queue that goes with the database: of this process alone, or of many."""
    most = settings.max_queue_size
    if store.nodes is None:
        set_by = ClockSet(utc_now)
        return EmbeddedQueue(store, max_pending=most, now=utc_now, new_id=new_uuid7, set_by=set_by)
    from codebot.queue.procrastinate import ProcrastinateQueue

    name = node_name(settings.work_dir) if settings.workers else None
    return ProcrastinateQueue(
        store, store.nodes, name=name, max_pending=most, now=utc_now, new_id=new_uuid7
    )


def node_name(work_dir: Path) -> str:
    """Give the name of whoever works in a directory: that of its machine, and one kept in it.

    One process at a time does, so whoever comes next under this name knows the last one for dead.
    Raises `ConfigError`.
    """
    file = work_dir / NODE_FILE
    try:
        make_private(work_dir)
        if not file.exists():
            file.write_text(new_uuid7())
        return f"{gethostname()} {file.read_text()}"
    except OSError as error:
        raise unusable(work_dir, "CODEBOT_WORK_DIR", error) from error
