"""The HTTP server: it goes on answering while work drains, and stops at once when asked twice."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from secrets import token_hex
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from codebot.errors import ConfigError, UserError
from codebot.intake.problems import REQUEST_ID, problem

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Give a listening socket, before anything else is touched; raises `ConfigError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # Python adds to the system's words what it was about; that is in the sentence already.
        reason = str(error.strerror).partition(" (")[0]
        raise ConfigError(
            (f"Cannot listen on {host} port {port}: {reason}.",), hint=_listen_hint(error)
        ) from error


def _listen_hint(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "Choose a --host that is an address of this machine."
    return "Choose another --port, or stop the program that has this one."


class _Protocol(HttpToolsProtocol):
    """uvicorn's own, but for the answer to what is no HTTP: the same body as everywhere."""

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that no request could be read from, and close (called by uvicorn)."""
        request_id = token_hex(8)
        response = problem({REQUEST_ID: request_id}, HTTPStatus.BAD_REQUEST, UserError.code, msg)
        response.headers["X-Request-ID"] = request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Connection"] = "close"
        head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (head, bytes(response.body)))
        self.transport.close()


class Server(uvicorn.Server):
    """Serves `app` until a signal; the first one calls `drain` and waits for it meanwhile.

    Clients can follow their tasks to the end of the drain. A second signal stops at once.
    """

    def __init__(self, app: ASGIApp, *, drain: Callable[[], Awaitable[None]]) -> None:
        """Serve with uvloop's and httptools' speed; requests are logged by the application."""
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                proxy_headers=False,  # nothing asks who the caller is but by its key
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._drain = drain
        self._draining: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain on the first signal, and stop on the second (called by uvicorn)."""
        del sig, frame
        if self._draining is None:
            self._loop.call_soon_threadsafe(self._begin_drain)
        else:
            self._draining.cancel()
            self.should_exit = self.force_exit = True

    def _begin_drain(self) -> None:
        self._draining = self._draining or asyncio.create_task(self._drain_and_exit())

    async def _drain_and_exit(self) -> None:
        try:
            await self._drain()
        finally:
            self.should_exit = True
