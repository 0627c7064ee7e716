"""CONNECT: a box speaks TLS with a host that was named, and with that host only."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import structlog

from codebot.domain.egress import Access, AccessVerdict
from codebot.gateway.egress.dial import LONGEST_HEAD, Dialler
from codebot.gateway.egress.hello import LONGEST_HELLO, HelloReader
from codebot.gateway.egress.policy import AllowList, NotLetOut, Target, WrongName, parse_target
from codebot.gateway.egress.tls_end import TlsEnd
from codebot.gateway.registries.catalog import Origin

log = structlog.get_logger(__name__)

HEAD_SECONDS = 10
IDLE_SECONDS = 600
PIECE = 64 * 1024
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"

Record = Callable[[Access], None]


@dataclass(slots=True)
class _Bytes:
    sent: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class Tunnels:
    """Serves CONNECT for one box; `record` hears of each, when it is over.

    `end` is the far end of TLS for the hosts of registries: what is said to these is read.
    """

    allowed: AllowList
    dialler: Dialler
    record: Record
    end: TlsEnd

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection from its first byte to its end."""
        try:
            await self._serve(reader, writer)
        except NotLetOut as refused:
            self.record(Access(refused.host, refused.port, AccessVerdict.REFUSED, refused.reason))
            if not isinstance(refused, WrongName):
                with suppress(OSError):
                    writer.write(_refusal(refused))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # one side went away
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = parse_target(await _read_authority(reader))
        if target.host not in self.allowed.hosts and self._is_registry(target):
            await self._end(target, reader, writer)
            return
        self.allowed.check(target)
        try:
            out = await self.dialler.open(target)
        except OSError as error:
            self._record(target, _Bytes())
            writer.write(_cannot_be_reached(target, error))
            await writer.drain()
            return
        moved, is_over, is_refused = _Bytes(), False, False
        try:
            writer.write(CONNECTED)
            if hello := await _read_hello(reader, target):
                moved.sent += len(hello)
                out[1].write(hello)
                await _relay(reader, writer, *out, moved)
            is_over = True
        except WrongName:
            is_refused = True
            raise
        finally:
            if is_over:
                out[1].close()
            else:  # what was not sent yet does not outlive the box
                out[1].transport.abort()
            if not is_refused:
                self._record(target, moved)

    def _is_registry(self, target: Target) -> bool:
        return Origin("https", target.host, target.port) in self.end.catalog.places

    async def _end(
        self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Be the registry. What came before our answer cannot be TLS: the client goes unheard."""
        transport = cast("asyncio.Transport", writer.transport)
        transport.pause_reading()
        reader.feed_eof()
        if await reader.read():
            raise WrongName("something before the answer", target.host, target.port)
        writer.write(CONNECTED)
        await self.end.serve(transport, target.host, target.port)

    def _record(self, target: Target, moved: _Bytes) -> None:
        self.record(
            Access(
                *(target.host, target.port, AccessVerdict.ALLOWED),
                sent=moved.sent,
                received=moved.received,
            )
        )


async def _read_authority(reader: asyncio.StreamReader) -> str:
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise NotLetOut(f"a request of more than {LONGEST_HEAD} bytes") from None
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or words[0] != "CONNECT" or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - a request line
        raise NotLetOut("not a request of HTTP/1.1")
    return words[1]


async def _read_hello(reader: asyncio.StreamReader, target: Target) -> bytes:
    """Read the client's first message, and hold it to the name that was asked for.

    b"" when the box hangs up without a word, as programs do that open connections in advance.
    """
    hello, seen = HelloReader(), b""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            while len(seen) <= LONGEST_HELLO:
                piece = await reader.read(PIECE)
                if not piece and not seen:
                    return b""
                seen += piece
                if not piece or not hello.feed(piece):
                    break
    except TimeoutError:
        raise WrongName("no beginning of TLS in time", target.host, target.port) from None
    if hello.name != target.host:
        named = "no name" if hello.name is None else f"the name {hello.name}"
        raise WrongName(f"TLS with {named} inside", target.host, target.port)
    return seen


async def _relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    out_reader: asyncio.StreamReader,
    out_writer: asyncio.StreamWriter,
    moved: _Bytes,
) -> None:
    """Pass bytes both ways until both sides are done, or nothing moves for too long."""
    loop = asyncio.get_running_loop()

    async def pump(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, count: Callable[[int], None]
    ) -> None:
        while piece := await source.read(PIECE):
            clock.reschedule(loop.time() + IDLE_SECONDS)
            count(len(piece))
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    def count_sent(size: int) -> None:
        moved.sent += size

    def count_received(size: int) -> None:
        moved.received += size

    async with asyncio.timeout(IDLE_SECONDS) as clock:
        pumps = (
            asyncio.ensure_future(pump(reader, out_writer, count_sent)),
            asyncio.ensure_future(pump(out_reader, writer, count_received)),
        )
        try:
            await asyncio.gather(*pumps)
        finally:
            for one in pumps:
                one.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


def _refusal(refused: NotLetOut) -> bytes:
    where = f"{refused.host}:{refused.port}" if refused.port else refused.host
    words = (
        f"Codebot does not let this box reach {where}: {refused.reason}. "
        "CODEBOT_EGRESS names the hosts that boxes may reach, CODEBOT_REGISTRIES those that they "
        "may read packages from.\n"
    )
    return _answer("403 Forbidden", words)


def _cannot_be_reached(target: Target, error: OSError) -> bytes:
    return _answer("502 Bad Gateway", f"{target.host} cannot be reached: {error}\n")


def _answer(status: str, words: str) -> bytes:
    body = words.encode("ascii", errors="replace")
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body
