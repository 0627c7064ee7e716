"""Many callers, one piece of work: who arrives while it is done shares its result."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Flight:
    work: asyncio.Task[None]
    waiting: int = 0


class SingleFlight:
    """Does one piece of work per key at a time.

    It goes on when one of its callers is cancelled, and ends when all of them are.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight] = {}

    async def join(self, key: str, start: Callable[[], Awaitable[None]]) -> None:
        """Wait for the work that runs under `key`, or do it; its error is everyone's."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._fly(key, start)))
        flight.waiting += 1
        try:
            await asyncio.shield(flight.work)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0:
                flight.work.cancel()  # does nothing when it is done

    async def _fly(self, key: str, start: Callable[[], Awaitable[None]]) -> None:
        try:
            await start()
        finally:
            del self._flights[key]
