"""One connection that listens, opened again for as long as somebody wants to hear.

What is said while it is away is lost. So it tells when it is back, and nobody relies on it alone.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from psycopg import AsyncConnection, Error, sql

from codebot.store.postgres.place import Place

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 10
QUIET_SECONDS = 10
"""After so long without a word the server is asked whether it is still there."""

ANSWER_SECONDS = 5
PAUSE_SECONDS = 1


class Listener:
    """Hears what is said in each of `channels`, and calls what stands there with its text."""

    def __init__(
        self,
        place: Place,
        channels: Mapping[str, Callable[[str], None]],
        on_return: Callable[[], None],
    ) -> None:
        self._place = place
        self._channels = channels
        self._on_return = on_return

    async def keep_listening(self) -> None:
        """Listen until cancelled, whatever becomes of the server meanwhile."""
        while True:
            try:
                await self._listen()
            except (Error, OSError) as error:
                log.warning("listener.cut", detail=self._place.mask(" ".join(str(error).split())))
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311

    async def _listen(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            connecting = AsyncConnection.connect(self._place.conninfo.reveal(), autocommit=True)
            connection = await connecting
        async with connection:
            for channel in self._channels:
                listen = sql.SQL("LISTEN {}").format(sql.Identifier(channel))
                await _run(connection, listen)
            self._on_return()
            while True:
                waits = ANSWER_SECONDS
                if not await _is_spoken_to(connection):
                    await _run(connection, sql.SQL("SELECT 1"))
                    waits = 0
                async for heard in connection.notifies(timeout=waits, stop_after=1):
                    self._channels[heard.channel](heard.payload)


async def _is_spoken_to(connection: AsyncConnection[Any]) -> bool:
    """Say whether anything came before the connection was quiet for long.

    psycopg's own waiting looks at the clock ten times a second, which was half of what a node
    without work cost.
    """
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), came.set)
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            return await came.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(connection.fileno())


async def _run(connection: AsyncConnection[Any], statement: sql.SQL | sql.Composed) -> None:
    async with asyncio.timeout(ANSWER_SECONDS):
        await connection.execute(statement)
