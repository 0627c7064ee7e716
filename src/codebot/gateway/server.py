"""An HTTP server inside the service's own loop, on a free port of the loopback address."""

import socket

from starlette.types import ASGIApp
from uvicorn import Config, Server

LONGEST_IDLE = 3600
"""Seconds that an idle connection is kept, so that an agent busy with a tool finds its own again:
closing it just when the next request is under way would look like a network fault to it."""
LONGEST_GOODBYE = 2
"""Seconds that closing waits for calls that were cut to be gone."""


class LoopbackServer:
    """uvicorn without its process-wide side: no signal handlers, no ticking task, no banner."""

    def __init__(self, app: ASGIApp) -> None:
        """Serve `app`, once started."""
        config = Config(
            app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=LONGEST_IDLE,
            timeout_graceful_shutdown=LONGEST_GOODBYE,
        )
        config.load()
        self._server = Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._listener: socket.socket | None = None

    @property
    def url(self) -> str:
        """Where it listens; only known while it does."""
        if self._listener is None:
            msg = "the server is not started"
            raise RuntimeError(msg)
        return "http://127.0.0.1:{1}".format(*self._listener.getsockname())

    async def start(self) -> None:
        """Listen; requests are answered when this returns."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        await self._server.startup(sockets=[self._listener])

    async def close(self) -> None:
        """Stop listening and end every connection; harmless when not started."""
        if self._listener is None:
            return
        await self._server.shutdown(sockets=[self._listener])
        self._listener = None
