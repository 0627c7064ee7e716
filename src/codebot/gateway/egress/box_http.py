"""HTTP for the programs in a box, which take us for their proxy: uvicorn's, within bounds."""

import asyncio
import logging

from httptools import HttpParserError, parse_url
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

LONGEST_HEAD = 64 * 1024
"""Bytes of a request line and its headers. The parser has no limit of its own: it would keep as
much as a box sends, in the memory of the service."""

HEAD_SECONDS = 10

_LOG = logging.Logger("uvicorn.error", logging.ERROR)  # noqa: LOG001 - what the next line is for
_LOG.parent = logging.getLogger("uvicorn.error")
"""uvicorn warns of every request that is none; a box could fill the service's log with these."""


class BoxHttp(HttpToolsProtocol):
    """One connection. A request has to begin in time, and its head to be of a bearable size."""

    def __init__(self, config: Config, state: ServerState, authority: str | None = None) -> None:
        """Serve the application of `config`; `state` knows every connection of the box.

        With an `authority` (a host, and a port that is not the usual one), this is inside of TLS
        for it: requests for any other get no host at all.
        """
        super().__init__(config=config, server_state=state, app_state={})
        self._authority = authority
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.logger = _LOG
        self._unread = 0
        self._has_moved = False
        self._clock: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Read on, unless that leads nowhere: neither to the end of a head, nor to any body."""
        self._has_moved = False
        super().data_received(data)
        self._unread = 0 if self._has_moved else self._unread + len(data)
        if self._unread > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of this request is too long.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for a head."""
        self._forget_clock()
        super().connection_lost(exc)
        if not self.lost.done():
            self.lost.set_result(None)

    def on_message_begin(self) -> None:
        """Give the head its time."""
        self._forget_clock()
        self._clock = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Put the host that the address names in the place of the Host header, then go on.

        Of `GET http://host/path` uvicorn keeps the path alone. That host is the one that counts,
        the header may say something else: https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
        """
        self._has_moved = True
        self._forget_clock()
        if self._authority is not None:
            self._put_host(self._inner_host(self._authority))
        elif not self.url.startswith(b"/"):
            self._put_host(_host_of(self.url))
        super().on_headers_complete()

    def _put_host(self, host: bytes) -> None:
        self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
        self.headers.append((b"host", host))

    def _inner_host(self, authority: str) -> bytes:
        """Give the authority if all that a request says of its host is that; else nothing."""
        host = authority.partition(":")[0]
        port = authority.partition(":")[2] or "443"
        named = [value.decode("latin-1").lower() for name, value in self.headers if name == b"host"]
        is_same = len(named) == 1 and named[0] in {authority, f"{host}:{port}"}
        return authority.encode() if is_same and self.url.startswith(b"/") else b""

    def on_body(self, body: bytes) -> None:
        """Take note that there is more to come of the body."""
        self._has_moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note that the next head may begin."""
        self._has_moved = True
        super().on_message_complete()

    def _forget_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def _host_of(url: bytes) -> bytes:
    try:
        parts = parse_url(url)
    except HttpParserError:
        return b""
    if parts.schema != b"http" or parts.userinfo or not parts.host:
        return b""
    port = f":{parts.port}".encode() if parts.port else b""
    return bytes(parts.host) + port
