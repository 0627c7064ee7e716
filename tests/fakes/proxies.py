"""Proxies as companies have them, on loopback: they ask for a password and write down who came."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fakes.connection import answering, let_go

USER, PASSWORD = "me", "p#@%/:w"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@dataclass
class Proxy:
    """A running proxy; `asked` names the places that it connected to."""

    port: int = 0
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def proxy(kind: str) -> AsyncIterator[Proxy]:
    """Run a proxy: `http` (CONNECT, and plain requests) or `socks5`."""
    running = Proxy()
    serve = {"http": _serve_http, "socks5": _serve_socks}[kind]

    async def answer(reader: Reader, writer: Writer) -> None:
        await serve(running, reader, writer)

    async with answering(answer) as running.port:
        yield running


async def _serve_http(running: Proxy, reader: Reader, writer: Writer) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b" ", 2)
    if base64.b64encode(f"{USER}:{PASSWORD}".encode()) not in head:
        writer.write(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\n\r\n")
        await writer.drain()
        return
    is_tunnel = method == b"CONNECT"
    place = (target if is_tunnel else target.split(b"/")[2]).decode()
    out = await _connect(running, *place.rsplit(":", 1))
    if is_tunnel:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        line = head.partition(b"\r\n")[2].replace(b"\r\nProxy-Connection: Keep-Alive", b"")
        path = target.split(b"/", 3)[3]
        out[1].write(b"%b /%b HTTP/1.1\r\nConnection: close\r\n%b" % (method, path, line))
    await _both_ways(reader, writer, *out)


async def _serve_socks(running: Proxy, reader: Reader, writer: Writer) -> None:
    _, count = await reader.readexactly(2)
    await reader.readexactly(count)
    writer.write(b"\x05\x02")
    await reader.readexactly(1)
    user = await reader.readexactly((await reader.readexactly(1))[0])
    password = await reader.readexactly((await reader.readexactly(1))[0])
    good = (user.decode(), password.decode()) == (USER, PASSWORD)
    writer.write(b"\x01\x00" if good else b"\x01\x01")
    if not good:
        return
    kind = (await reader.readexactly(4))[3]
    if kind == 1:
        host = ".".join(map(str, await reader.readexactly(4)))
    else:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    port = int.from_bytes(await reader.readexactly(2), "big")
    out = await _connect(running, host, str(port))
    writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    await _both_ways(reader, writer, *out)


async def _connect(running: Proxy, host: str, port: str) -> tuple[Reader, Writer]:
    """Connect to this machine, whatever the host's name: no other exists here."""
    running.asked.append(f"{host}:{port}")
    return await asyncio.open_connection("127.0.0.1", int(port))


async def _both_ways(reader: Reader, writer: Writer, out: Reader, into: Writer) -> None:
    async def pump(source: Reader, sink: Writer) -> None:
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()
        sink.write_eof()

    try:
        await asyncio.gather(pump(reader, into), pump(out, writer))
    finally:
        await let_go(into)
