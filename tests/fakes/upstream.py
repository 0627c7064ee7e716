"""A stand-in for the Messages API on loopback: keeps what it was asked, answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from codebot.gateway.server import LoopbackServer
from codebot.gateway.upstream import COUNT_TOKENS, Answer, Call, once


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


Behaviour = Callable[[Request, Send], Awaitable[None]]


class FakeUpstream:
    """Answers every request with `behaviour`, which a test sets; `asked` is what came in."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.behaviour: Behaviour = json_answer({"ok": True})
        self.go_on = asyncio.Event()
        self.abandoned = asyncio.Event()
        self._arrival = asyncio.Condition()
        self._server = LoopbackServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.go_on.set()
        await self._server.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        url = request.url
        async with self._arrival:
            self.asked.append(Asked(url.path, url.query, dict(request.headers), body))
            self._arrival.notify_all()
        await self.behaviour(request, send)

    async def has_been_asked(self, times: int) -> None:
        """Wait until this many requests have arrived."""
        async with self._arrival:
            await asyncio.wait_for(self._arrival.wait_for(lambda: len(self.asked) >= times), 5)

    async def streams(self, request: Request, send: Send) -> None:
        """Start a stream, wait until the test says go on, or until nobody listens; end it."""
        await begin(send, "text/event-stream; charset=utf-8")
        await piece(send, START)
        gone = asyncio.create_task(request.receive())
        told = asyncio.create_task(self.go_on.wait())
        await asyncio.wait({gone, told}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.abandoned.set()
        gone.cancel()
        told.cancel()
        await piece(send, END)
        await end(send)

    async def hangs(self, request: Request, send: Send) -> None:
        """Say nothing until the test is over, or the caller goes away."""
        gone = asyncio.create_task(request.receive())
        told = asyncio.create_task(self.go_on.wait())
        await asyncio.wait({gone, told}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.abandoned.set()
        gone.cancel()
        told.cancel()
        await answer(send, 503, b"", "text/plain")

    async def breaks_off(self, request: Request, send: Send) -> None:
        """Start a stream and cut the connection in the middle of an event."""
        await begin(send, "text/event-stream")
        await piece(send, START + b'event: content_block_delta\ndata: {"type": "con')


class PaidModel:
    """A model that takes its price: each answer tells this usage, cut to what may be said.

    `calls` is what came through the gateway.
    """

    name = "paid"
    costs_money = True

    def __init__(self, input_tokens: int = 100, output_tokens: int = 10) -> None:
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.calls: list[Call] = []

    async def close(self) -> None:
        pass

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Answer]:
        self.calls.append(call)
        request = json.loads(call.body)
        if call.path == COUNT_TOKENS:
            yield self._says({"input_tokens": self.input_tokens})
            return
        await asyncio.sleep(0)
        output = min(self.output_tokens, request["max_tokens"])
        told = whole_message(MODEL, input_tokens=self.input_tokens, output_tokens=output)
        yield self._says(told | {"content": [{"type": "text", "text": "So be it."}]})

    def _says(self, value: Any) -> Answer:
        body = json.dumps(value).encode()
        return Answer(200, {"content-type": "application/json"}, once(body))


def event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


MODEL = "claude-sonnet-4-5-20250929"
START = event(
    "message_start",
    message={
        "id": "msg_1",
        "model": MODEL,
        "content": [],
        "usage": {"input_tokens": 100, "cache_read_input_tokens": 900, "output_tokens": 1},
    },
)
END = event(
    "message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 50}
) + event("message_stop")


def whole_message(model: str = MODEL, **usage: int) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "model": model, "content": [], "usage": usage}


async def begin(
    send: Send, kind: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    fields = {"content-type": kind, **(headers or {})}
    coded = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": coded})


async def piece(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def answer(
    send: Send, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None
) -> None:
    await begin(send, kind, status, headers)
    await piece(send, body)
    await end(send)


def gives(status: int, body: bytes, kind: str = "application/json", **headers: str) -> Behaviour:
    """Answer with this status, body, content type and headers (`retry_after="7"`)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def behave(request: Request, send: Send) -> None:
        await answer(send, status, body, kind, named)

    return behave


def json_answer(value: Any) -> Behaviour:
    return gives(200, json.dumps(value).encode())
