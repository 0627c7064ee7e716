"""A load generator that is lighter than the servers it measures.

One asyncio protocol per connection, keep-alive, one request at a time on each, no HTTP library: a
request is bytes made beforehand, an answer is a status and a length.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from statistics import quantiles
from typing import cast

MILLISECONDS = 1000


@dataclass(frozen=True)
class Load:
    """What came of a load: how long each answer took, and how many were not as expected."""

    seconds: float
    latencies: tuple[float, ...]
    errors: int

    @property
    def per_second(self) -> float:
        """Give the answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Give the latency in milliseconds below which so many percent of the answers came."""
        cuts = quantiles(self.latencies, n=100, method="inclusive")
        return cuts[percent - 1] * MILLISECONDS

    def __str__(self) -> str:
        """Give one line of figures."""
        return (
            f"{self.per_second:7.0f}/s  p50 {self.percentile(50):6.2f} ms  "
            f"p99 {self.percentile(99):6.2f} ms  {self.errors} errors"
        )


def request(
    method: str, path: str, *, headers: Mapping[str, str] | None = None, body: object = None
) -> bytes:
    """Give the bytes of one request; a body that is not None is sent as JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def run_load(port: int, what: bytes, *, clients: int, requests: int, expect: int) -> Load:
    """Send the same request again and again, from so many connections at once."""
    left = repeat(None, requests)
    latencies: list[float] = []
    loop = asyncio.get_running_loop()

    def connection() -> _Connection:
        return _Connection(what, left, latencies, expect, loop.create_future())

    connections = [
        (await loop.create_connection(connection, "127.0.0.1", port))[1] for _ in range(clients)
    ]
    began = time.perf_counter()
    for each in connections:
        each.send()
    await asyncio.gather(*(each.done for each in connections))
    seconds = time.perf_counter() - began
    for each in connections:
        each.transport.close()
    return Load(seconds, tuple(latencies), sum(each.errors for each in connections))


class _Connection(asyncio.Protocol):
    """One client: sends, waits for the whole answer, sends again."""

    def __init__(
        self,
        what: bytes,
        left: Iterator[None],
        latencies: list[float],
        expect: int,
        done: asyncio.Future[None],
    ) -> None:
        self._what = what
        self._left = left
        self._latencies = latencies
        self._expect = b"HTTP/1.1 %d" % expect
        self._buffer = b""
        self._sent = 0.0
        self.done = done
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        if next(self._left, self) is self:
            self.done.set_result(None)
            return
        self._sent = time.perf_counter()
        self.transport.write(self._what)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return
        self._latencies.append(time.perf_counter() - self._sent)
        self.errors += not head.startswith(self._expect)
        self._buffer = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0
