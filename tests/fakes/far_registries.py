"""Registries under their real names, behind a proxy on loopback: files by host and path.

The proxy takes CONNECT for any host and is the far end of its TLS itself, vouched for by an
authority that only the test's own service trusts. `asked` is what came in.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from codebot.gateway.registries.authority import open_authority
from fakes.connection import answering


@dataclass
class FarRegistries:
    """What the world outside has, by host and path."""

    folder: Path
    files: Mapping[str, bytes]
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._authority = open_authority(self.folder / "world.pem", lambda: datetime.now(UTC))
        self.certificate_file = self.folder / "world-certificate.pem"
        self.certificate_file.write_bytes(self._authority.pem)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        port = await self._open.enter_async_context(answering(self._serve))
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host = head.split(b" ")[1].decode().removesuffix(":443")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.start_tls(self._authority.context(host))
        while True:
            await self._answer(host, reader, writer)

    async def _answer(
        self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        place = host + head.split(b" ")[1].decode()
        self.asked.append(place)
        body = self.files.get(place)
        status = b"404 Not Found" if body is None else b"200 OK"
        body = body or b""
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
