"""What a box is answered: what is kept, what is on its way, or words of a registry or our own.

Every body is sent in pieces, each when the one before is on its way. A box that asks and does not
read keeps one piece in the memory of the service, not a whole file.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

import httpx
import structlog
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from codebot.gateway.registries.cache import Entry
from codebot.gateway.registries.copying import BLOCK, Copying
from codebot.gateway.registries.fetch import Unfetchable

log = structlog.get_logger(__name__)

KEPT_HEADERS = (
    *("content-type", "content-encoding", "etag", "last-modified", "cache-control"),
    *("content-disposition", "x-checksum-sha1", "x-checksum-sha256", "x-npm-signature"),
)

RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that is small: it is in memory, for all who asked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def heard(
    response: httpx.Response, *more: str, names: Iterable[str] = KEPT_HEADERS
) -> dict[str, str]:
    """Give those of a registry's headers that go on to boxes, with what else is named."""
    return {name: response.headers[name] for name in (*names, *more) if name in response.headers}


def plain(status: int, words: str) -> Response:
    """Give an answer in words."""
    return PlainTextResponse(f"{words}\n", status)


def short(found: Whole) -> Response:
    """Give an answer that is in memory already."""
    return Response(found.body, found.status, dict(found.headers))


def following(copying: Copying) -> Response:
    """Give a body that is on its way."""
    headers = dict(copying.headers)
    if copying.total is not None:
        headers["content-length"] = str(copying.total)
    return _Relayed(copying.pieces(), 200, headers)


def from_entry(entry: Entry, asked: Mapping[str, str]) -> Response:
    """Give what is kept: nothing if the client has it, or the part that it asked for."""
    headers = {**entry.headers, "accept-ranges": "bytes"}
    if _has_it(entry, asked):
        entry.close()
        return Response(None, 304, headers)
    part = _part(entry, asked)
    begin, end = part or (0, entry.size)
    if begin >= max(entry.size, 1):
        entry.close()
        return Response(None, 416, {"content-range": f"bytes */{entry.size}"})
    headers["content-length"] = str(end - begin)
    if part is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{entry.size}"
    return _Relayed(_pieces(entry, begin, end), 200 if part is None else 206, headers)


def from_part(entry: Entry) -> Response:
    """Give a part that is kept by itself."""
    headers = {**entry.headers, "content-length": str(entry.size)}
    return _Relayed(_pieces(entry, 0, entry.size), 206, headers)


def _has_it(entry: Entry, asked: Mapping[str, str]) -> bool:
    etag = entry.headers.get("etag")
    if "if-none-match" in asked:
        return etag is not None and etag in re.split(r"\s*,\s*", asked["if-none-match"])
    changed = entry.headers.get("last-modified")
    return changed is not None and asked.get("if-modified-since") == changed


def _part(entry: Entry, asked: Mapping[str, str]) -> tuple[int, int] | None:
    """Give where the one part that is asked for begins and ends; None for the whole."""
    found = RANGE.fullmatch(asked.get("range", ""))
    known = {entry.headers.get(name) for name in ("etag", "last-modified")}
    if found is None or ("if-range" in asked and asked["if-range"] not in known):
        return None
    first, last = found.groups()
    if first:
        begin = int(first)
        end = min(int(last) + 1, entry.size) if last else entry.size
        return (begin, end) if end > begin or begin >= entry.size else None
    return (max(entry.size - int(last), 0), entry.size) if last else None


async def _pieces(entry: Entry, begin: int, end: int) -> AsyncIterator[bytes]:
    try:
        while begin < end:
            piece = await asyncio.to_thread(entry.read, begin, min(BLOCK, end - begin))
            if not piece:
                raise Unfetchable("What was kept is shorter than it was.")
            begin += len(piece)
            yield piece
    finally:
        entry.close()


class _Relayed(StreamingResponse):
    """Closes what it reads from when it is sent, or nobody waits for it any more."""

    def __init__(self, body: AsyncIterator[bytes], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(body, status, headers)
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes; where the registry breaks off, the box sees its line cut."""
        if scope["method"] == "HEAD":
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            await send({"type": "http.response.body", "body": b""})
            await self._body.aclose()  # type: ignore[attr-defined]
            return
        try:
            await super().__call__(scope, receive, send)
        except Unfetchable as error:
            log.warning("registry.broke_off", error=str(error))
        finally:
            await self._body.aclose()  # type: ignore[attr-defined]
