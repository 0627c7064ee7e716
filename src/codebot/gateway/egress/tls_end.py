"""The far end of TLS for the hosts of registries: what a box says inside is read here."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from codebot.domain.egress import Access, AccessVerdict
from codebot.gateway.egress.box_http import BoxHttp
from codebot.gateway.registries.authority import Authority
from codebot.gateway.registries.catalog import HTTPS, Catalog

HANDSHAKE_SECONDS = 10

Record = Callable[[Access], None]
MakeHttp = Callable[[str], BoxHttp]


class _Threshold(asyncio.Protocol):
    """Keeps what arrives between the handshake and whoever is to read it."""

    def __init__(self) -> None:
        self.seen = b""
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.seen += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note."""
        del exc
        self.is_lost = True


@dataclass(frozen=True, slots=True)
class TlsEnd:
    """Speaks TLS with one box as every host of the catalog, and as no other.

    `make_http` gives what reads the requests for a host and port.
    """

    catalog: Catalog
    authority: Authority
    make_http: MakeHttp
    record: Record

    async def serve(self, transport: asyncio.Transport, host: str, port: int) -> None:
        """Serve a connection from the client's first message to its end, as this host."""
        meant, threshold = _Meant(host), _Threshold()
        loop = asyncio.get_running_loop()
        secured = loop.start_tls(
            *(transport, threshold, self.authority.context(host)),
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        try:
            await self._serve(secured, threshold, meant, port)
        finally:
            transport.abort()

    async def serve_any(self, client: socket.socket) -> None:
        """Serve a connection as whichever host its client names, if it is one of the catalog."""
        meant, threshold = _Meant(), _Threshold()
        loop = asyncio.get_running_loop()
        with client:
            context = self._any_host(meant)
            secured = loop.connect_accepted_socket(
                *(lambda: threshold, client),
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )

            async def transport() -> asyncio.Transport:
                return (await secured)[0]

            await self._serve(transport(), threshold, meant, HTTPS)

    async def _serve(
        self,
        secured: Awaitable[asyncio.Transport | None],
        threshold: "_Threshold",
        meant: "_Meant",
        port: int,
    ) -> None:
        try:
            secure = await secured
        except (OSError, ssl.SSLError) as error:
            self._record_refusal(meant, port, error)
            return
        if secure is None or threshold.is_lost or meant.host is None:
            return
        http = self.make_http(meant.host if port == HTTPS else f"{meant.host}:{port}")
        try:
            secure.set_protocol(http)
            http.connection_made(secure)
            if threshold.seen:
                http.data_received(threshold.seen)
            await http.lost
        finally:
            with suppress(AttributeError):  # Debian 12's Python, of one that was closed twice
                secure.abort()

    def _any_host(self, meant: "_Meant") -> ssl.SSLContext:
        """Give what becomes the end for the host that a client names, if it is one of ours."""

        def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            meant.asked = (name or "").lower().rstrip(".")
            if meant.asked not in self.catalog.hosts:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            meant.host = meant.asked
            tls.context = self.authority.context(meant.host)
            return None

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = choose
        return context

    def _record_refusal(self, meant: "_Meant", port: int, error: Exception) -> None:
        """Write down who was asked for that is none of ours; a client that went away is nothing."""
        if meant.asked is not None and meant.host is None:
            reason = "no registry, and no host of a tunnel"
            self.record(Access(meant.asked or "?", port, AccessVerdict.REFUSED, reason))
        elif isinstance(error, ssl.SSLError) and meant.host is not None and meant.asked is None:
            reason = "TLS with another name inside, or that trusts nobody here"
            self.record(Access(meant.host, port, AccessVerdict.REFUSED, reason))


@dataclass(slots=True)
class _Meant:
    """The host that a client means, once that is known, and the name that it asked for."""

    host: str | None = None
    asked: str | None = None
