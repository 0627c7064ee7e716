"""What only a real socket can show: bodies in pieces, and connections that go on."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fakes.api import KEY, TASK, Api, open_api, serve
from fakes.connection import let_go

MEGABYTE = 1024 * 1024
BEARER = f"Authorization: Bearer {KEY}\r\n"
JSON = "Content-Type: application/json\r\n"
PATIENCE = 10


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: dict[str, object]


@dataclass
class Wire:
    """One connection, spoken to in bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *lines: str, body: bytes = b"") -> None:
        head = "".join(("POST /api/tasks/submit HTTP/1.1\r\nHost: x\r\n", *lines, "\r\n"))
        self.writer.write(head.encode("latin-1") + body)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, json.loads(body))

    async def send_until_refused(self, piece: bytes, most: int) -> int:
        """Send on until the other side has had enough; say how much it took."""
        sent = 0
        try:
            while sent < most:
                self.writer.write(piece)
                sent += len(piece)
                await asyncio.wait_for(self.writer.drain(), PATIENCE)
        except ConnectionError:
            return sent
        return sent


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as api:
        yield api


@pytest.fixture
async def wire(api: Api) -> AsyncIterator[Wire]:
    async with serve(api.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield Wire(reader, writer)
        await let_go(writer)


def length(body: bytes) -> str:
    return f"Content-Length: {len(body)}\r\n"


GOOD = json.dumps(TASK).encode()


async def test_64_megabytes_are_refused_by_their_announcement(wire: Wire, api: Api) -> None:
    await wire.send(BEARER, JSON, f"Content-Length: {64 * MEGABYTE}\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.body["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert api.stored() == 0


@pytest.mark.parametrize("key", [BEARER, ""], ids=["key", "no key"])
async def test_a_body_without_end_is_cut_off(
    wire: Wire, api: Api, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("codebot.intake.gate._LINGER_BYTES", 16 * MEGABYTE)
    await wire.send(key, JSON, "Transfer-Encoding: chunked\r\n")
    reading = asyncio.create_task(wire.answer())
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    assert await wire.send_until_refused(chunk, 256 * MEGABYTE) < 64 * MEGABYTE
    assert (await reading).status == (413 if key else 401)
    assert api.stored() == 0


async def test_a_body_in_chunks_is_refused_at_the_limit(wire: Wire, api: Api) -> None:
    await wire.send(BEARER, JSON, "Transfer-Encoding: chunked\r\n")
    await wire.send_until_refused(b"10000\r\n" + bytes(0x10000) + b"\r\n", 2 * MEGABYTE)
    answer = await wire.answer()
    assert (answer.status, answer.body["code"]) == (413, "body_too_large")
    assert api.stored() == 0


async def test_a_caller_that_sends_a_bit_too_much_still_reads_why(wire: Wire) -> None:
    body = bytes(3 * MEGABYTE)
    await wire.send(BEARER, JSON, length(body), body=body)
    assert (await wire.answer()).status == 413
    assert await wire.reader.read() == b""


async def test_without_a_key_nobody_waits_for_the_body(wire: Wire) -> None:
    await wire.send(JSON, "Content-Length: 500\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.body["code"]) == (401, "unauthorized")


async def test_without_a_key_a_large_body_is_not_read(wire: Wire) -> None:
    await wire.send(JSON, "Transfer-Encoding: chunked\r\n")
    answer = await wire.answer()
    assert answer.status == 401
    assert answer.headers["connection"] == "close"


async def test_a_caller_that_asks_before_it_sends_is_told_at_once(wire: Wire) -> None:
    await wire.send(BEARER, JSON, f"Content-Length: {2 * MEGABYTE}\r\n", "Expect: 100-continue\r\n")
    assert (await wire.answer()).status == 413


async def test_a_good_body_may_come_in_chunks(wire: Wire, api: Api) -> None:
    await wire.send(BEARER, JSON, "Transfer-Encoding: chunked\r\n")
    for byte in GOOD:
        wire.writer.write(b"1\r\n%c\r\n" % byte)
    wire.writer.write(b"0\r\n\r\n")
    assert (await wire.answer()).status == 202
    assert api.stored() == 1


async def test_the_connection_goes_on_after_errors(wire: Wire, api: Api) -> None:
    for lines, body, status in (
        ((JSON,), GOOD, 401),
        ((BEARER, JSON), b"{", 400),
        ((BEARER,), GOOD, 415),
        ((BEARER, JSON), b"[" * 20_000, 400),
        ((BEARER, JSON), GOOD, 202),
    ):
        await wire.send(*lines, length(body), body=body)
        assert (await wire.answer()).status == status
    assert api.stored() == 1


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer \xff\xfe\r\n",
        "Authorization: \xe9\r\n",
        "X-API-Key: \xff\r\n",
        f"{BEARER}{BEARER}",
        f"X-API-Key: {KEY}\r\nX-API-Key: {KEY}\r\n",
    ],
)
async def test_odd_and_repeated_keys_are_no_keys(wire: Wire, line: str) -> None:
    await wire.send(line, JSON, length(GOOD), body=GOOD)
    assert (await wire.answer()).status == 401


@pytest.mark.parametrize("line", ["Content-Type: \xff\r\n", "X-Odd: \xff\x80\r\n", ""])
async def test_bytes_that_are_no_text_in_other_headers_are_no_fault(wire: Wire, line: str) -> None:
    await wire.send(BEARER, line, length(GOOD), body=GOOD)
    assert (await wire.answer()).status == 415


async def test_a_caller_that_hangs_up_in_the_middle_stores_nothing(wire: Wire, api: Api) -> None:
    with capture_logs() as lines:
        await wire.send(BEARER, JSON, length(GOOD), body=GOOD[:10])
        wire.writer.close()
        async with asyncio.timeout(PATIENCE):
            while not lines:  # noqa: ASYNC110  the log line is the only sign of the end
                await asyncio.sleep(0.005)
    assert [(line["event"], line["status"]) for line in lines] == [("http.answered", 499)]
    assert api.stored() == 0
