"""Values that expire, each fetched once however many callers wait for it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Gives the kept value of a key while it is good, else asks `fetch` for one and its end."""

    def __init__(
        self,
        fetch: Callable[[K], Awaitable[tuple[V, datetime]]],
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._kept: dict[K, tuple[V, datetime]] = {}
        self._locks: defaultdict[K, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, key: K) -> V:
        """Give a good value; a failed fetch is the caller's, the next one tries again."""
        async with self._locks[key]:
            kept = self._kept.get(key)
            if kept is None or kept[1] <= self._now():
                kept = self._kept[key] = await self._fetch(key)
            return kept[0]

    def drop(self, key: K, value: V) -> None:
        """Forget this value, not a newer one: of many callers it was refused to, one refetches."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] == value:
            del self._kept[key]

    def forget(self, concerns: Callable[[K], bool]) -> None:
        """Forget every value whose key is concerned."""
        for key in [key for key in self._kept if concerns(key)]:
            del self._kept[key]
