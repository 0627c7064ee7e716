"""What one round uses of the model, written down while it runs, each dollar once."""

import asyncio
from collections.abc import Sequence

import structlog

from codebot.domain.event import EventData
from codebot.domain.outcome import Usage
from codebot.domain.run import Run
from codebot.errors import CodebotError
from codebot.gateway.metering import Metered
from codebot.store.patience import patient
from codebot.store.steps import TaskChanges
from codebot.store.store import Store

log = structlog.get_logger(__name__)


class Ledger:
    """Adds what the gateway metered to the task, as differences: after every call, and at the end.

    So a service that is killed has lost at most the calls that were under way, and whoever goes on
    with the run knows what the task has really used.
    """

    def __init__(self, store: Store, run: Run) -> None:
        """Write for `run` into `store`; nothing is written yet."""
        self._store = store
        self._run = run
        self._written = Usage()
        self._untold: list[EventData] = []
        self._turn = asyncio.Lock()

    async def hear(self, metered: Metered, events: Sequence[EventData]) -> None:
        """Write down what the run has used by now, and what is told of it.

        A database that is away is waited for: this belongs to a run, whoever brings it. What cannot
        be written all the same comes with the next difference; a run that is lost ends by the next
        thing that its agent does.
        """
        try:
            with patient():
                await asyncio.shield(self._write(metered, events))
        except CodebotError as error:
            log.warning("ledger.not_written", code=error.code, detail=error.detail)

    async def close(self, metered: Metered) -> None:
        """Write down what is missing, and tell of the round; raises what the store raises."""
        events = [metered.as_event()] if metered.calls else []
        await asyncio.shield(self._write(metered, events))

    async def _write(self, metered: Metered, events: Sequence[EventData]) -> None:
        """Add the difference; shielded by its callers, so that what is on disk is known here."""
        self._untold += events
        async with self._turn:
            news, told = metered.usage - self._written, list(self._untold)
            if news == Usage() and not told:
                return
            await self._store.steps.note(self._run, TaskChanges(usage=news), told)
            self._written = metered.usage
            del self._untold[: len(told)]
