"""The registries for one box: how much it may ask at once, and what is written down of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from codebot.domain.egress import Access, AccessVerdict
from codebot.gateway.registries.catalog import Origin
from codebot.gateway.registries.fetch import Unfetchable
from codebot.gateway.registries.library import Library
from codebot.gateway.registries.paths import plain_path
from codebot.gateway.registries.replies import plain

READING = frozenset({"GET", "HEAD"})
CONVENIENCES = ("/-/npm/v1/security/", "/-/npm/v1/", "/-/v1/")
"""What clients of npm like to ask besides: whether packages are safe, what is popular."""
MOST_AT_ONCE = 16
"""Requests of one box that are being answered; others wait. npm keeps 15 connections by itself."""

Record = Callable[[Access], None]


@dataclass(frozen=True, slots=True)
class Reader:
    """Answers what one box asks of registries."""

    library: Library
    record: Record
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))

    async def read(self, origin: Origin, request: Request, send: Send) -> None:
        """Answer one request; it is written down when it is over, with the bytes that passed."""
        if request.method not in READING:
            await self._refuse_writing(origin, request, send)
            return
        async with self._turns:
            response = await self._answer(origin, request)
            await self._send_counted(origin, response, request, send)

    async def _answer(self, origin: Origin, request: Request) -> Response:
        raw = request.scope["raw_path"].decode("latin-1")
        path = plain_path(raw)
        catalog = await self.library.catalog()
        accept = request.headers.get("accept", "*/*")
        wanted = None if path is None else catalog.find(origin, raw, path, accept)
        if wanted is None:
            return plain(404, f"{origin.host} serves packages here, and no such thing.")
        try:
            return await self.library.read(wanted, request.method, request.headers)
        except Unfetchable as error:
            return plain(502, f"Codebot cannot fetch that. {error}")

    async def _send_counted(
        self, origin: Origin, response: Response, request: Request, send: Send
    ) -> None:
        received = 0

        async def counted(message: Message) -> None:
            nonlocal received
            await send(message)
            received += len(message.get("body", b""))

        try:
            await response(request.scope, request.receive, counted)
        finally:
            verdict = AccessVerdict.ALLOWED
            self.record(Access(origin.host, origin.port, verdict, received=received))

    async def _refuse_writing(self, origin: Origin, request: Request, send: Send) -> None:
        """Say no; what clients like to know besides is none that anybody need hear of."""
        if request.url.path.startswith(CONVENIENCES):
            response = plain(404, "Registries are for reading here.")
        else:
            reason = "registries are for reading"
            self.record(Access(origin.host, origin.port, AccessVerdict.REFUSED, reason))
            response = plain(405, "Registries are for reading here.")
        await response(request.scope, request.receive, send)
