"""One disk budget for all that is kept to save time: what was not used for longest goes first."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from codebot.errors import WorkspaceError
from codebot.workspace.folders import disk_errors
from codebot.workspace.shelf import SPARED, Kept

log = structlog.get_logger(__name__)

Cache = Callable[[], Iterable[Kept]]
"""Gives all that is kept somewhere and could be made, or fetched, again; called in a thread."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Holds caches to so many bytes together."""

    limit: int
    caches: Sequence[Cache]
    clock: Callable[[], float] = time.time

    async def keep_holding_down(self, every: timedelta) -> None:
        """Look now and then, until cancelled; whatever is in trouble is waited for."""
        while True:
            try:
                await self.hold_down()
            except WorkspaceError as error:
                log.warning("cache.not_measured", detail=error.detail, hint=error.hint)
            await asyncio.sleep(every.total_seconds())

    async def hold_down(self) -> int:
        """Remove what is too much and that nobody holds; say how many bytes that was."""
        return await asyncio.to_thread(self._hold_down)

    def _hold_down(self) -> int:
        with disk_errors("what is kept in CODEBOT_DATA_DIR"):
            kept = sorted((one for cache in self.caches for one in cache()), key=_last_use)
        surplus, latest = sum(one.size for one in kept) - self.limit, self.clock() - SPARED
        freed = 0
        for one in kept:
            if freed >= surplus or one.used_at > latest:
                break
            freed += one.size if _evict(one) else 0
        if surplus > 0:
            log.info("cache.held_down", freed=freed, surplus=surplus, limit=self.limit)
        return freed


def _last_use(kept: Kept) -> float:
    return kept.used_at


def _evict(kept: Kept) -> bool:
    try:
        return kept.evict()
    except WorkspaceError as error:
        log.warning("cache.not_removed", name=kept.name, reason=error.detail)
        return False
