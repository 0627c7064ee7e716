"""Which database the tasks are kept in, and the wait for a server that is not there yet."""

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog

from codebot.errors import ConfigError, StoreUnavailable
from codebot.queue.embedded import EmbeddedQueue
from codebot.settings import Settings
from codebot.store.store import Store, new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor

log = structlog.get_logger(__name__)

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=15)

NO_QUEUE = (
    "Tasks cannot be worked on from PostgreSQL yet: the queue that several machines share is not"
    " built."
)
USE_SQLITE = "Leave CODEBOT_DATABASE_URL out until then, or name a file: sqlite:///PATH."


async def open_store(settings: Settings, redactor: Redactor) -> Store:
    """Open the database that the settings name, with every table in place.

    For a server that cannot be reached, starts, or is a standby, this waits: service and database
    often start together. Raises `ConfigError` for what a person has to mend, `StoreUnavailable`.
    """
    database = settings.database
    if isinstance(database, Path):
        return await Store.open(database, redact=redactor)
    pause = FIRST_PAUSE
    while True:
        try:
            return await Store.open(database.reveal(), redact=redactor)
        except StoreUnavailable as error:
            if error.retry_after is None:
                raise
            log.warning("store.waited_for", detail=error.detail, hint=error.hint)
        await asyncio.sleep(pause.total_seconds())
        pause = min(2 * pause, LONGEST_PAUSE)


def make_queue(settings: Settings, store: Store) -> EmbeddedQueue:
    """Give the queue of one machine; raises `ConfigError` where the database is for several."""
    if not isinstance(settings.database, Path):
        raise ConfigError((NO_QUEUE,), hint=USE_SQLITE)
    return EmbeddedQueue(store, max_pending=settings.max_queue_size, now=utc_now, new_id=new_uuid7)
