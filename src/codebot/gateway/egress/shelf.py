"""One registry for one box: how much it may ask at once, and what is written down of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from codebot.domain.egress import Access, AccessVerdict
from codebot.gateway.egress.fetch import Unfetchable
from codebot.gateway.egress.policy import NotLetOut
from codebot.gateway.egress.replies import plain
from codebot.gateway.egress.upstreams import Registry

READING = frozenset({"GET", "HEAD"})
AUDIT = "/-/npm/v1/security/"
MOST_AT_ONCE = 16
"""Requests of one box that are being answered; others wait. npm keeps 15 connections by itself."""

Ask = Callable[[], Awaitable[Registry | None]]
Answer = Callable[[Registry, Request], Awaitable[Response]]
Record = Callable[[Access], None]


@dataclass(slots=True)
class Shelf:
    """A registry: how it answers, and where it is, asked when it is first needed.

    "Nowhere" is not kept: npm may be installed later, or pip may have been too slow to say.
    """

    ask: Ask
    answer: Answer
    nobody: str
    _registry: "asyncio.Task[Registry | None] | None" = field(default=None)

    async def registry(self) -> Registry | None:
        """Give the registry; however many ask, pip or npm is asked once."""
        if self._registry is None:
            self._registry = asyncio.ensure_future(self.ask())
        asked = self._registry
        try:
            found = await asyncio.shield(asked)
        finally:
            if asked.done() and (asked.cancelled() or asked.exception() or not asked.result()):
                self._registry = None
        return found


@dataclass(frozen=True, slots=True)
class Reader:
    """Answers the requests of one box to all shelves."""

    record: Record
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))

    async def read(self, shelf: Shelf, request: Request, host: str, send: Send) -> None:
        """Answer one request; it is written down when it is over, with the bytes that passed."""
        if request.method not in READING:
            await self._refuse_writing(request, host, send)
            return
        async with self._turns:
            registry = await shelf.registry()
            if registry is None:
                await _send(plain(404, shelf.nobody), request, send)
                return
            try:
                response = await shelf.answer(registry, request)
            except NotLetOut as refused:
                self.record(Access(host, refused.port, AccessVerdict.REFUSED, refused.reason))
                response = plain(403, f"Codebot does not let this box fetch that: {refused}.")
                await _send(response, request, send)
                return
            except Unfetchable as error:
                response = plain(502, str(error))
            await self._send_counted(registry, response, request, send)

    async def _send_counted(
        self, registry: Registry, response: Response, request: Request, send: Send
    ) -> None:
        received = 0

        async def counted(message: Message) -> None:
            nonlocal received
            await send(message)
            received += len(message.get("body", b""))

        try:
            await _send(response, request, counted)
        finally:
            host, port = registry.host, registry.port
            self.record(Access(host, port, AccessVerdict.ALLOWED, received=received))

    async def _refuse_writing(self, request: Request, host: str, send: Send) -> None:
        """Say no; a question whether packages are safe is none that anybody need hear of."""
        if request.url.path.startswith(AUDIT):
            await _send(plain(404, "There are no audits here."), request, send)
            return
        self.record(Access(host, 0, AccessVerdict.REFUSED, "registries are for reading"))
        await _send(plain(405, "Registries are for reading here."), request, send)


async def _send(response: Response, request: Request, send: Send) -> None:
    await response(request.scope, request.receive, send)
