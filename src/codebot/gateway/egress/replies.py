"""What a registry gateway answers: words of its own, or what the registry gives, as it comes.

Every body is sent in small pieces, each when the one before is on its way. A box that asks and does
not read keeps one piece in the memory of the service, not a whole file.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

import httpx
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from codebot.gateway.egress.fetch import Fetcher, Unfetchable
from codebot.gateway.egress.upstreams import Registry

log = structlog.get_logger(__name__)

LARGEST_FILE = 2 * 1024**3
PIECE = 64 * 1024
PASSED_BACK: tuple[str, ...] = ("content-type", "etag", "last-modified", "cache-control")
OF_THE_BYTES: tuple[str, ...] = (
    "content-length",
    "content-encoding",
    "accept-ranges",
    "content-range",
)
"""Headers that hold only while the bytes are the registry's own."""

Change = Callable[[AsyncIterable[bytes]], AsyncIterator[bytes]]


def plain(status: int, words: str) -> Response:
    """Give an answer in words."""
    return PlainTextResponse(f"{words}\n", status)


def whole(body: bytes, media_type: str) -> Response:
    """Give an answer that is in memory already."""

    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), PIECE):
            yield body[begin : begin + PIECE]

    return StreamingResponse(pieces(), media_type=media_type)


async def relay(
    fetcher: Fetcher,
    registry: Registry,
    url: str,
    request: Request,
    *,
    change: Change | None = None,
) -> Response:
    """Give what is at an address of the registry, piece by piece; raises `Unfetchable`.

    `change` is applied to the bytes on their way, without any compression.
    """
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(
            fetcher.get(registry, url, request.headers, method=request.method)
        )
        announced = found.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > LARGEST_FILE:
            raise Unfetchable("The registry's answer is too long.")
        kept = PASSED_BACK if change else PASSED_BACK + OF_THE_BYTES
        headers = {name: found.headers[name] for name in kept if name in found.headers}
        raw = bounded(found.aiter_bytes() if change else found.aiter_raw(), LARGEST_FILE)
        body = change(raw) if change else raw
        return _Relayed(body, found.status_code, headers, until_sent=stack.pop_all())


async def bounded(body: AsyncIterable[bytes], most: int) -> AsyncIterator[bytes]:
    """Give a body on; raises `Unfetchable` when it is more than may be."""
    async for piece in body:
        most -= len(piece)
        if most < 0:
            raise Unfetchable("The registry's answer is too long.")
        yield piece


class _Relayed(StreamingResponse):
    """Holds the registry's answer open until it is sent on, or nobody waits for it any more."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        status: int,
        headers: Mapping[str, str],
        *,
        until_sent: AsyncExitStack,
    ) -> None:
        super().__init__(body, status, headers)
        self._until_sent = until_sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes; where the registry breaks off, the box sees its line cut."""
        async with self._until_sent:
            try:
                await super().__call__(scope, receive, send)
            except (httpx.HTTPError, Unfetchable) as error:
                log.warning("registry.broke_off", error=str(error) or type(error).__name__)
