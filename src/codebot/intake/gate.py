"""The gate that every request passes: key, size, request id, log line, and the last resort.

One plain ASGI middleware: it looks at headers before anything reads the body, and it is the one
place that turns an error into an answer.
"""

import asyncio
import math
from contextlib import suppress
from secrets import token_hex
from time import perf_counter

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codebot.errors import BodyTooLarge, CodebotError, StoreUnavailable, Unauthorized
from codebot.intake.credentials import Headers, presented_key
from codebot.intake.keys import ApiKeys
from codebot.intake.problems import REQUEST_ID, internal_problem, problem_of

LARGEST_BODY = 1024 * 1024
PROTECTED = ("/api/", "/tasks/")
PAGES = "/tasks/"

_KEY = "codebot.key_fingerprint"
_CLOSED_BY_CALLER = 499  # nginx's word for it; only the log ever shows it
_LINGER_BYTES = 256 * LARGEST_BODY
_LINGER_SECONDS = 60
_LINGER_SILENCE = 2
_LONGEST_LOGGED_PATH = 200

log = structlog.get_logger(__name__)


def key_fingerprint(request: Request) -> str | None:
    """Say whose key came with the request; None without a valid one, on open routes only."""
    fingerprint: str | None = request.scope[_KEY]
    return fingerprint


class Gate:
    """Lets requests with a valid key through to `/api/` and `/tasks/`, and all to the rest.

    A browser may send the key as the password of HTTP Basic, but to pages only: they change
    nothing, so that a credential which browsers add by themselves can do no harm.
    """

    def __init__(self, app: ASGIApp, *, keys: ApiKeys) -> None:
        """Stand in front of `app`."""
        self._app = app
        self._keys = keys
        self._log = log.bind()  # once: structlog's own way makes a logger for every line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, answer what went wrong, and log one line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        scope[REQUEST_ID] = exchange.request_id
        began = perf_counter()
        try:
            await self._pass(scope, exchange)
        finally:
            self._tell(scope, exchange, perf_counter() - began)

    async def _pass(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            self._admit(scope)
            if scope["method"] == "HEAD":  # the server drops the body of the answer
                scope = {**scope, "method": "GET"}
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = _CLOSED_BY_CALLER
        except CodebotError as error:
            await self._refuse(scope, exchange, error)
        except Exception:
            log.exception("http.failed", request_id=exchange.request_id)
            if exchange.status:
                raise  # too late for an answer: the server cuts the connection
            await internal_problem(scope)(scope, exchange.receive, exchange.send)

    def _admit(self, scope: Scope) -> None:
        """Check what the headers alone tell; raises `Unauthorized` and `BodyTooLarge`."""
        path = scope["path"]
        key = presented_key(scope["headers"], basic=path.startswith(PAGES))
        fingerprint = None if key is None else self._keys.fingerprint(key)
        if fingerprint is None and path.startswith(PROTECTED):
            raise Unauthorized("No valid API key came with the request.")
        scope[_KEY] = fingerprint
        if LARGEST_BODY < _announced_size(scope["headers"]) < math.inf:
            raise _too_large()

    async def _refuse(self, scope: Scope, exchange: "_Exchange", error: CodebotError) -> None:
        """Answer an error. A connection ends with it when more would come than is worth reading."""
        response = problem_of(scope, error)
        if response.status_code >= 500:  # noqa: PLR2004  the server's fault, by definition
            _log_failure(exchange.request_id, error)
        if isinstance(error, Unauthorized):
            scheme = "Basic" if scope["path"].startswith(PAGES) else "Bearer"
            response.headers["WWW-Authenticate"] = f'{scheme} realm="Codebot"'
        if exchange.body_ended or _announced_size(scope["headers"]) <= LARGEST_BODY:
            await response(scope, exchange.receive, exchange.send)
            return
        response.headers["Connection"] = "close"
        await response(scope, exchange.receive, exchange.send_all_but_the_end)
        await exchange.drain()

    def _tell(self, scope: Scope, exchange: "_Exchange", seconds: float) -> None:
        """Log the request, without its query and headers: they may hold what nobody should read."""
        went_well = exchange.status < 400  # noqa: PLR2004  as HTTP counts
        tell = self._log.debug if went_well else self._log.info
        tell(
            "http.answered",
            method=scope["method"],
            path=scope["path"][:_LONGEST_LOGGED_PATH],
            status=exchange.status,
            milliseconds=round(seconds * 1000, 2),
            request_id=exchange.request_id,
            key_fingerprint=scope.get(_KEY),
        )


class _Exchange:
    """One request and its answer, as they pass the gate."""

    __slots__ = ("_read", "_receive", "_send", "body_ended", "request_id", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._read = 0
        self.body_ended = False
        self.request_id = token_hex(8)
        self.status = 0

    async def receive(self) -> Message:
        """Give the next piece of the body; raises `BodyTooLarge` as soon as it is."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self.body_ended = not message.get("more_body", False)
            if self._read > LARGEST_BODY:
                raise _too_large()
        return message

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer carries."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)

    async def send_all_but_the_end(self, message: Message) -> None:
        """Send on, but leave the answer open, and so the connection."""
        if message["type"] == "http.response.body":
            message["more_body"] = True
        await self.send(message)

    async def drain(self) -> None:
        """Throw away what still comes, as long as it comes, within bounds; then end the answer.

        A connection closed on unread bytes is reset, and the reset can overtake the answer. Many
        clients read nothing before they have sent all: they would see a broken pipe in place of the
        reason. What is thrown away is not kept, so all that it costs is the reading.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self.body_ended and self._read < _LINGER_BYTES:
                    message = await asyncio.wait_for(self._receive(), _LINGER_SILENCE)
                    self._read += len(message.get("body", b""))
                    self.body_ended = not message.get("more_body", False)
        await self._send({"type": "http.response.body", "body": b""})


def _announced_size(headers: Headers) -> float:
    """Give the body's length as announced: infinite for a chunked one, 0 without any word of it."""
    names = dict(headers)
    if b"transfer-encoding" in names:
        return math.inf
    length = names.get(b"content-length", b"0")
    return int(length) if length.isdigit() else math.inf


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is longer than {LARGEST_BODY:,} bytes.", hint="Send a shorter description."
    )


def _log_failure(request_id: str, error: CodebotError) -> None:
    """Say in the log why a request failed: where in the code, too, unless the store is away."""
    if isinstance(error, StoreUnavailable):
        log.error("http.failed", request_id=request_id, detail=error.detail, hint=error.hint)
    else:
        log.error("http.failed", request_id=request_id, exc_info=error)
