"""What a registry gateway answers: words of its own, or what the registry gives, as it comes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from codebot.gateway.egress.fetch import Fetcher
from codebot.gateway.egress.upstreams import Registry

LARGEST_FILE = 2 * 1024**3
PASSED_BACK = (
    *(
        "content-type",
        "content-length",
        "content-encoding",
        "etag",
        "last-modified",
        "cache-control",
    ),
    *("accept-ranges", "content-range"),
)


def plain(status: int, words: str) -> Response:
    """Give an answer in words."""
    return PlainTextResponse(f"{words}\n", status)


def too_long() -> Response:
    """Say that there is more than passes here."""
    return plain(502, "The registry's answer is too long.")


async def relay(fetcher: Fetcher, registry: Registry, url: str, request: Request) -> Response:
    """Give what is at an address of the registry, piece by piece; raises `Unfetchable`."""
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(
            fetcher.get(registry, url, request.headers, method=request.method)
        )
        if int(found.headers.get("content-length", 0)) > LARGEST_FILE:
            return too_long()
        headers = {name: found.headers[name] for name in PASSED_BACK if name in found.headers}
        later = stack.pop_all()
    closing = BackgroundTask(later.aclose)
    return StreamingResponse(_bounded(found), found.status_code, headers, background=closing)


async def _bounded(found: httpx.Response) -> AsyncIterator[bytes]:
    """Give the body; more than was announced, or than may be, breaks off, as a cut line does."""
    room = LARGEST_FILE
    async for piece in found.aiter_raw():
        room -= len(piece)
        if room < 0:
            raise OSError("more than may pass")
        yield piece
