"""Many callers, one piece of work: who arrives while it is done shares its result.

It is nobody's own (`SingleFlight`), or done by one of them for all (`Relay`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    work: asyncio.Task[T]
    waiting: int = 0


class SingleFlight(Generic[T]):
    """Does one piece of work per key at a time.

    It goes on when one of its callers is cancelled, and ends when all of them are.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    async def join(self, key: str, start: Callable[[], Awaitable[T]]) -> T:
        """Wait for the work that runs under `key`, or do it; its result or error is everyone's."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._fly(key, start)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.work)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0:
                self._land(key, flight)  # who comes now must not wait for what is being cancelled
                flight.work.cancel()  # does nothing when it is done
                await asyncio.wait([flight.work])  # it may have things to put away

    async def _fly(self, key: str, start: Callable[[], Awaitable[T]]) -> T:
        flight = self._flights[key]
        try:
            return await start()
        finally:
            self._land(key, flight)

    def _land(self, key: str, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class Relay(Generic[T]):
    """Does one piece of work per key at a time, by the first caller's means.

    What a task does in its own boxes and folders goes with the task: when the caller who works is
    cancelled, the work ends, and one of those who wait begins anew by means of its own.
    """

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Task[T]] = {}

    async def join(self, key: str, start: Callable[[], Awaitable[T]]) -> T:
        """Wait for the work that is done under `key`, or do it; result and error are everyone's."""
        while (turn := self._turns.get(key)) is not None:
            await asyncio.wait([turn])
            if not turn.cancelled():
                return turn.result()
        turn = self._turns[key] = asyncio.create_task(_do(start))
        turn.add_done_callback(lambda _: self._turns.pop(key))  # before anybody who waits goes on
        return await turn  # whose cancellation is that of the work


async def _do(start: Callable[[], Awaitable[T]]) -> T:
    return await start()
