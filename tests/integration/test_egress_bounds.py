"""What a box can make the service keep, wait for and write: little, for a while, and the truth."""

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from codebot.domain.egress import AccessVerdict
from codebot.gateway.egress import box_http, tunnel
from codebot.gateway.egress.dial import Dialler
from codebot.gateway.egress.doorman import Connections
from codebot.gateway.egress.service import MOST_CONNECTIONS
from codebot.gateway.registries import reader as registry_reader
from fakes.connection import Answer, let_go, until_answered
from fakes.registry import HTML, PROJECT, FakeRegistry
from fakes.way_out import HOST, INDEX, PACKAGES, Outside, client_hello, client_of, outside, trusting

ARCHIVE = f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz"
HUGE = 100_000_000


# --- Heads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beginning",
    [
        "GET /",
        "GET / HTTP/1.1\r\nX: ",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ],
    ids=["address", "header", "trailer"],
)
async def test_a_head_without_end_is_cut_and_not_kept(beginning: str) -> None:
    async with outside() as place:
        _, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(beginning.encode())
        sent = 0
        with suppress(OSError):
            while sent < HUGE:
                writer.write(bytes(b"a" * 100_000))
                await writer.drain()
                sent += 100_000
        await let_go(writer)
    assert sent < HUGE / 2  # what the buffers of two sockets hold


async def test_many_pieces_of_a_body_are_no_head() -> None:
    read = 0

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal read
        while (message := await receive())["type"] == "http.request":
            read += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with outside(application=count) as place:
        head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        said = await place.say(head, b"2\r\nab\r\n" * 50_000, b"0\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 204 ")
    assert read == 100_000


@pytest.mark.parametrize("beginning", [b"GE", b"GET / HTTP/1.1\r\nX"])
async def test_a_head_that_does_not_end_in_time_is_closed(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_http, "HEAD_SECONDS", 0.1)
    async with outside() as place, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(beginning)
        assert await reader.read() == b""
        await let_go(writer)


async def test_junk_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with outside() as place:
            assert b" 400 " in await place.say(b"\x00\x01\r\n\r\n")
            await place.say(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert caplog.messages == []


# --- The end of a box ------------------------------------------------------------------------


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_download_ends_with_its_box_and_is_recorded_as_far_as_it_came(
    loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    async def download() -> Outside:
        async with FakeRegistry(archive=bytes(HUGE)) as registry:
            async with outside(registry=registry) as place:
                reader, writer = await _ask(place, ARCHIVE)
                await reader.readexactly(1000)
                await asyncio.sleep(0.2)
            await let_go(writer)
        return place

    with asyncio.Runner(loop_factory=loop) as runner:
        [access] = runner.run(download()).records
    assert access.verdict is AccessVerdict.ALLOWED
    assert 1000 <= access.received < HUGE / 4
    assert caplog.messages == []


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_connection_ends_with_its_box_and_nothing_is_said_of_it(
    loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(600)

    async def end() -> list[bytes]:
        opened = []
        async with outside(application=hang) as place:
            for beginning in (
                b"",
                b"GE",
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"CONNECT ",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                writer.write(beginning)
                opened.append((reader, writer))
            await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            heard = [await _rest(reader) for reader, _ in opened]
        for _, writer in opened:
            await let_go(writer)
        return heard

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(end()) == [b""] * 4
    assert caplog.messages == []


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def _ask(
    place: Outside, path: str, host: str = PACKAGES
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = socket.create_connection(("127.0.0.1", place.tls_port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # else it grows to megabytes
    reader, writer = await asyncio.open_connection(
        sock=connection, limit=4096, ssl=trusting(), server_hostname=host
    )
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return reader, writer


# --- Boxes that do not read ------------------------------------------------------------------


async def test_a_box_that_does_not_read_waits_for_itself_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry_reader, "MOST_AT_ONCE", 2)
    async with (
        FakeRegistry(archive=bytes(HUGE)) as registry,
        outside(registry=registry) as slow,
        outside(registry=registry) as other,
    ):
        stuck = [await _ask(slow, ARCHIVE) for _ in range(3)]
        begun = [asyncio.create_task(reader.readexactly(1)) for reader, _ in stuck]
        for first in itertools.islice(asyncio.as_completed(begun, timeout=10), 2):
            await first
        await asyncio.sleep(0.2)
        assert sum(one.done() for one in begun) == 2
        async with client_of(other, PACKAGES) as client, asyncio.timeout(5):
            assert (await client.get(f"/{PROJECT}")).is_success
        for _, writer in stuck:
            await let_go(writer)
        await asyncio.gather(*begun, return_exceptions=True)


class Closing(asyncio.Transport):
    """A connection that was closed with bytes in it that nobody has read yet."""

    def __init__(self, unread: int) -> None:
        super().__init__()
        self.unread = unread

    def is_closing(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self.unread


def test_a_closed_connection_counts_while_something_in_it_is_not_read() -> None:
    connections = Connections(1)
    left = Closing(unread=1)
    assert connections.enter(left)
    assert not connections.enter(Closing(unread=0))
    left.unread = 0
    assert connections.enter(Closing(unread=0))


async def test_a_long_page_is_given_in_pieces() -> None:
    """256 connections times a page of the index must not be what the service keeps."""
    async with (
        FakeRegistry(HTML, page=_long_page()) as registry,
        outside(registry=registry) as place,
    ):
        reader, writer = await _ask(place, f"/simple/{PROJECT}/", INDEX)
        await reader.readexactly(1000)
        await asyncio.sleep(0.3)
        assert place.records == []  # sent is what is on its way, and that is not all
        await let_go(writer)


def _long_page() -> str:
    return "".join(f'<a href="/x-{n}.tar.gz">x-{n}.tar.gz</a>' for n in range(400_000))


# --- CONNECT ---------------------------------------------------------------------------------


def lead_everybody_to(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every CONNECT that was allowed arrive at `answer`."""

    async def dial(_: object, __: object) -> object:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        opened = await asyncio.open_connection(*server.sockets[0].getsockname())
        server.close()
        return opened

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until_answered(answer, reader, writer)

    monkeypatch.setattr(Dialler, "open", dial)


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Be every host that is named: keep what arrives, and when it ends, say one word."""
    arrived: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.read())
        writer.write(b"bye")

    lead_everybody_to(answer, monkeypatch)
    return arrived


CONNECT = f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode()
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_when_the_box_is_done_sending_it_still_hears_the_answer(
    sink: list[bytes], loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    hello = client_hello(HOST)

    async def talk() -> tuple[bytes, Outside]:
        async with outside() as place:
            return await place.say(CONNECT + hello[:20], hello[20:], b"more"), place

    with asyncio.Runner(loop_factory=loop) as runner:
        said, place = runner.run(talk())
    assert said == CONNECTED + b"bye"
    assert sink == [hello + b"more"]
    [access] = place.records
    assert (access.verdict, access.sent, access.received) == ("allowed", len(hello) + 4, 3)


@pytest.mark.parametrize("beginning", [b"", client_hello(HOST)[:50]], ids=["nothing", "a part"])
async def test_who_is_slow_to_begin_tls_is_cut_and_recorded(
    sink: list[bytes], monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    async with outside() as place, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        monkeypatch.setattr(tunnel, "HEAD_SECONDS", 0.2)
        writer.write(CONNECT + beginning)
        assert await reader.read() == CONNECTED
        await let_go(writer)
    assert place.refused() == [(HOST, 443, "no beginning of TLS in time")]


async def test_who_opens_a_connection_in_advance_is_not_reported_for_it(sink: list[bytes]) -> None:
    async with outside() as place:
        await place.say(CONNECT)
    [access] = place.records
    assert (access.verdict, access.sent, access.received) == ("allowed", 0, 0)


async def test_a_tunnel_in_which_nothing_moves_is_closed(
    sink: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "IDLE_SECONDS", 0.2)
    async with outside() as place, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(CONNECT + client_hello(HOST))
        assert await reader.read() == CONNECTED
        await let_go(writer)
    assert [access.verdict for access in place.records] == ["allowed"]


async def test_a_host_is_read_no_faster_than_the_box_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < HUGE:
            writer.write(bytes(100_000))
            await writer.drain()
            sent += 100_000

    lead_everybody_to(flood, monkeypatch)
    async with asyncio.timeout(20), outside() as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=4096)
        writer.write(CONNECT + client_hello(HOST))
        await reader.readexactly(len(CONNECTED) + 1000)
        await asyncio.sleep(0.5)
        assert sent < HUGE / 2
        await let_go(writer)


async def test_a_box_with_all_its_connections_in_use_gets_one_back_when_one_ends() -> None:
    async with outside() as place:
        held = [
            await asyncio.open_connection("127.0.0.1", place.port) for _ in range(MOST_CONNECTIONS)
        ]
        await asyncio.sleep(0.1)
        held[0][1].close()
        await asyncio.sleep(0.1)
        assert b"the model" in await place.ask("127.0.0.1", "/")
        for _, writer in held:
            await let_go(writer)
