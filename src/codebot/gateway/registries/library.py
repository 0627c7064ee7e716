"""What registries say, read through the cache: each answer is fetched once for everybody."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import httpx
import structlog
from starlette.responses import Response

from codebot.gateway.registries.cache import Cache, Draft, Entry
from codebot.gateway.registries.catalog import Catalog, Wanted, make_catalog, origin_of
from codebot.gateway.registries.checksums import LARGEST_INDEX, checksum_of
from codebot.gateway.registries.copying import LARGEST_FILE, Copying
from codebot.gateway.registries.exchange import (
    headers_for,
    in_time,
    is_astray,
    key_of,
    read_body,
    read_words,
)
from codebot.gateway.registries.fetch import Fetcher, Unfetchable
from codebot.gateway.registries.index_pages import BESIDE, find_in_python_page, project_of
from codebot.gateway.registries.parts import keep_part, part_of, read_part
from codebot.gateway.registries.replies import (
    Whole,
    following,
    from_entry,
    from_part,
    heard,
    plain,
    short,
)
from codebot.gateway.registries.table import PYTHON_INDEX, Kind
from codebot.gateway.registries.upstreams import Registry

log = structlog.get_logger(__name__)

LONGEST_FRESH = 600
"""Seconds that a page may be given without asking, at most: what PyPI and npm allow at most."""
USUALLY_FRESH = 300
"""The same, where a registry says nothing about it."""
FAULT = 500
_AGE = re.compile(r"(?:^|[,\s])(?:s-maxage|max-age)=(\d{1,9})")

Ask = Callable[[], Awaitable[Registry | None]]


@dataclass(frozen=True, slots=True)
class _Right:
    """The registry says that what is kept is right."""


Found = Copying | Whole | _Right


@dataclass(slots=True)
class Library:
    """Answers for all registries. `ask_pip` and `ask_npm` say which ones this machine uses."""

    ask_pip: Ask
    ask_npm: Ask
    names: Sequence[str]
    further: Sequence[str]
    fetcher: Fetcher
    cache: Cache
    now: Callable[[], float] = time.time
    _catalog: asyncio.Task[Catalog] | None = None
    _flights: dict[str, asyncio.Task[Found]] = field(default_factory=dict)
    _copies: set[asyncio.Task[None]] = field(default_factory=set)

    async def catalog(self) -> Catalog:
        """Give what there is; pip and npm are asked once, pip again when it could not say."""
        if self._catalog is None:
            self._catalog = asyncio.ensure_future(self._make_catalog())
        asked = self._catalog
        found = await asyncio.shield(asked)
        if not found.is_sure and self._catalog is asked:
            self._catalog = None
        return found

    async def close(self) -> None:
        """End what is being fetched."""
        running = [*self._copies, *self._flights.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.fetcher.close()

    async def read(self, wanted: Wanted, method: str, headers: Mapping[str, str]) -> Response:
        """Answer one GET or HEAD; raises `Unfetchable`."""
        entry = await asyncio.to_thread(self.cache.find, wanted.key)
        if entry is not None and (wanted.kind is Kind.FILE or self._is_fresh(entry)):
            return from_entry(entry, headers)
        if method == "HEAD":
            return await in_time(self._ask_for_head(wanted))
        part = "" if entry else part_of(wanted, headers)
        kept = await asyncio.to_thread(self.cache.find, key_of(wanted, part)) if part else None
        if kept is not None:
            return from_part(kept)
        try:
            found = await self._fly(wanted, entry, part)
        except Unfetchable as error:
            if entry is None:
                raise
            log.warning("registries.stale", url=wanted.url, reason=str(error))
            found = _Right()
        if isinstance(found, Whole) and found.status >= FAULT and entry is not None:
            found = _Right()
        if isinstance(found, _Right):
            entry = entry or await asyncio.to_thread(self.cache.find, wanted.key)
            return from_entry(entry, headers) if entry else plain(502, "It has just gone.")
        if entry is not None:
            entry.close()
        return following(found) if isinstance(found, Copying) else short(found)

    async def _make_catalog(self) -> Catalog:
        await asyncio.to_thread(self.cache.open)
        pip, npm = await asyncio.gather(
            self._ask_for("python", self.ask_pip), self._ask_for("npm", self.ask_npm)
        )
        self.fetcher.gate.trust(one for one in (pip, npm) if one is not None)
        return make_catalog(self.names, self.further, pip, npm)

    async def _ask_for(
        self, name: str, ask: Callable[[], Awaitable[Registry | None]]
    ) -> Registry | None:
        """Ask which registry of an ecosystem this machine uses, where boxes may read it."""
        return await ask() if name in self.names else None

    def _is_fresh(self, entry: Entry) -> bool:
        return self.now() - entry.checked_at < fresh_seconds(entry.headers.get("cache-control", ""))

    async def _fly(self, wanted: Wanted, entry: Entry | None, part: str = "") -> Found:
        """Ask the registry, once however many boxes want the same at the same time."""
        key = key_of(wanted, part)
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(in_time(self._ask(wanted, entry, part)))
            self._flights[key] = flight
            flight.add_done_callback(partial(self._landed, key))
        return await asyncio.shield(flight)

    def _landed(self, key: str, flight: asyncio.Task[Found]) -> None:
        """Let others ask again, unless there is a body on its way that they can follow."""
        is_over = flight.cancelled() or flight.exception() is not None
        if is_over or not isinstance(flight.result(), Copying):
            self._flights.pop(key, None)

    async def _ask(self, wanted: Wanted, entry: Entry | None, part: str) -> Found:
        async with AsyncExitStack() as stack:
            response = await stack.enter_async_context(await self._request(wanted, entry, part))
            match response.status_code:
                case httpx.codes.NOT_MODIFIED if entry is not None:
                    await asyncio.to_thread(self.cache.renew, entry)
                    return _Right()
                case httpx.codes.OK if part:
                    return await self._take_for_all(wanted, response, stack)
                case httpx.codes.OK:
                    return await self._copy(wanted, response, stack.pop_all())
                case httpx.codes.PARTIAL_CONTENT if part:
                    found = await read_part(response, part)
                case _:
                    return await read_words(response)
        if found is None:
            return await self._fly(wanted, entry)
        await asyncio.to_thread(keep_part, self.cache, key_of(wanted, part), found)
        return found

    async def _request(
        self, wanted: Wanted, entry: Entry | None, part: str
    ) -> AbstractAsyncContextManager[httpx.Response]:
        return self.fetcher.get(
            await self._address_of(wanted),
            headers_for(wanted, entry) | ({"Range": part} if part else {}),
            registry=wanted.registry,
            stays=await self._stays(),
        )

    async def _take_for_all(
        self, wanted: Wanted, response: httpx.Response, until_done: AsyncExitStack
    ) -> Found:
        """Take a whole file that came in the place of a part, unless it is on its way already."""
        flight = self._flights.get(wanted.key)
        if flight is not None:
            return await asyncio.shield(flight)
        ours = self._flights[wanted.key] = asyncio.create_task(
            self._copy(wanted, response, until_done.pop_all())
        )
        ours.add_done_callback(partial(self._landed, wanted.key))
        return await asyncio.shield(ours)

    async def _address_of(self, wanted: Wanted) -> str:
        """Give where to ask for what is wanted."""
        if wanted.file_name and wanted.registry is not None:
            return await self._find_file(wanted.file_name, wanted.registry) or wanted.url
        return wanted.url

    async def _find_file(self, name: str, mirror: Registry) -> str | None:
        """Give where the mirror has a file of this name, by its page of the project."""
        beside = next((end for end in BESIDE if name.endswith(end)), "")
        project = project_of(name.removesuffix(beside))
        if project is None:
            return None
        url, headers = f"{mirror.url}/{project}/", {"Accept": PYTHON_INDEX.accepts[1]}
        async with self.fetcher.get(url, headers, registry=mirror) as response:
            if not response.is_success:
                return None
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > LARGEST_INDEX:
                    return None
            kind = response.headers.get("content-type", "text/html")
            where = str(response.url)
        named = await asyncio.to_thread(
            find_in_python_page, bytes(body), kind, where, name.removesuffix(beside)
        )
        return None if named is None else named.url + beside

    async def _copy(
        self, wanted: Wanted, response: httpx.Response, until_done: AsyncExitStack
    ) -> Copying:
        async with AsyncExitStack() as undo:
            undo.push_async_exit(until_done)
            is_page = wanted.kind is Kind.PAGE
            announced = response.headers.get("content-length", "")
            total = int(announced) if announced.isdecimal() else None
            if total is not None and total > LARGEST_FILE:
                raise Unfetchable("The registry's answer is too long.")
            is_decoded = is_page and "content-encoding" in response.headers
            draft = await self._begin_draft()
            headers = heard(response)
            if is_decoded:
                del headers["content-encoding"]
            expected = None if is_page else await asyncio.to_thread(checksum_of, wanted, self.cache)
            copying = Copying(draft, headers, None if is_decoded else total, expected)
            body = read_body(response, undo.pop_all(), decoded=is_page)
            keep = partial(self.cache.keep, draft, wanted.key, headers)
            if expected is None and not is_page and is_astray(headers):
                keep = partial(self.cache.drop, draft)
            task = copying.start(body, keep)
            self._copies.add(task)
            task.add_done_callback(partial(self._copied, wanted.key))
            return copying

    async def _begin_draft(self) -> Draft:
        try:
            return await asyncio.to_thread(self.cache.begin)
        except OSError as error:
            raise Unfetchable(f"Codebot cannot keep it: {error.strerror}.") from error

    def _copied(self, key: str, task: asyncio.Task[None]) -> None:
        self._copies.discard(task)
        self._flights.pop(key, None)

    async def _ask_for_head(self, wanted: Wanted) -> Response:
        headers = headers_for(wanted, None)
        async with self.fetcher.get(
            wanted.url,
            headers,
            registry=wanted.registry,
            method="HEAD",
            stays=await self._stays(),
        ) as response:
            told = heard(response, "content-length", "location", "accept-ranges")
            return Response(None, response.status_code, told)

    async def _stays(self) -> Callable[[str], bool]:
        """Say whether a redirect leads to where a box can go by itself, under the real name."""
        places = (await self.catalog()).places
        return lambda url: origin_of(url) in places


def fresh_seconds(cache_control: str) -> int:
    """Say how long a page may be given without asking the registry again.

    >>> fresh_seconds("max-age=60, public"), fresh_seconds("no-cache"), fresh_seconds("")
    (60, 0, 300)
    """
    told = cache_control.lower()
    if "no-cache" in told or "no-store" in told:
        return 0
    age = _AGE.search(told)
    return min(int(age[1]), LONGEST_FRESH) if age else USUALLY_FRESH
