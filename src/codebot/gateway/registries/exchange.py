"""One question to a registry: what it hears, how long it is waited for, what is read."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import AsyncExitStack
from typing import TypeVar

import httpx

from codebot.gateway.registries.cache import Entry
from codebot.gateway.registries.catalog import Wanted
from codebot.gateway.registries.copying import in_blocks
from codebot.gateway.registries.fetch import Unfetchable
from codebot.gateway.registries.replies import Whole, heard
from codebot.gateway.registries.table import Kind
from codebot.network.pace import paced

T = TypeVar("T")

LONGEST_ASKED = 120.0
"""Seconds until a registry has begun to answer, or has told why not: all who want the same wait."""
LONGEST_WORDS = 64 * 1024
"""Bytes of an answer that is no success: its words go on to the client, and are not kept."""


def headers_for(wanted: Wanted, entry: Entry | None) -> dict[str, str]:
    """Give all that a registry hears of a request: nothing in it is a box's own."""
    is_page = wanted.kind is Kind.PAGE
    told = {"Accept": wanted.accept, "Accept-Encoding": "gzip" if is_page else "identity"}
    if entry is not None:
        for known, name in (("etag", "If-None-Match"), ("last-modified", "If-Modified-Since")):
            if known in entry.headers:
                told[name] = entry.headers[known]
    return told


def key_of(wanted: Wanted, part: str) -> str:
    """Give the name by which an answer is kept: a part of a file by itself."""
    return f"{wanted.key} {part}" if part else wanted.key


def is_astray(headers: Mapping[str, str]) -> bool:
    """Say whether somebody on the way answered for the registry, as for one who must log in first.

    No registry has a file for programs that is a page for people.
    """
    return headers.get("content-type", "").lower().startswith("text/html")


async def in_time(asking: Awaitable[T]) -> T:
    """Wait for the beginning of an answer, or what it says of a failure; raises `Unfetchable`."""
    try:
        async with asyncio.timeout(LONGEST_ASKED):
            return await asking
    except TimeoutError as error:
        raise Unfetchable("The registry did not answer in time.") from error


async def read_words(response: httpx.Response) -> Whole:
    """Give an answer that is no success, with its words as far as they are bearable."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > LONGEST_WORDS:
            body.clear()
            break
    told = heard(response, names=("content-type", "content-range", "location", "retry-after"))
    return Whole(response.status_code, told, bytes(body))


async def read_body(
    response: httpx.Response, until_done: AsyncExitStack, *, decoded: bool
) -> AsyncGenerator[bytes, None]:
    """Give a body in blocks, and close what was open for it; raises `Unfetchable`."""
    async with until_done:
        try:
            pieces = response.aiter_bytes() if decoded else response.aiter_raw()
            async for piece in in_blocks(paced(pieces)):
                yield piece
        except httpx.HTTPError as error:
            raise Unfetchable(f"The registry broke off: {type(error).__name__}.") from error
