"""The HTTP server around a signal: it answers while work drains, and a second one ends it."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from codebot.errors import ConfigError
from codebot.intake.server import Server, listen
from fakes.connection import let_go

PATIENCE = 10.0


async def an_app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(drain: Callable[[], Awaitable[None]]) -> AsyncIterator[tuple[Server, str]]:
    with listen("127.0.0.1", 0) as listening:
        server = Server(an_app, drain=drain)
        running = asyncio.create_task(server.serve([listening]))
        async with asyncio.timeout(PATIENCE):
            while not server.started:  # noqa: ASYNC110 - uvicorn sends no signal
                await asyncio.sleep(0.01)
        try:
            yield server, f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with asyncio.timeout(PATIENCE):
                await running
        finally:
            server.should_exit = server.force_exit = True
            await asyncio.wait([running])


async def test_it_answers_until_the_drain_is_over_and_then_ends() -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def drain() -> None:
        begun.set()
        await over.wait()

    async with serving(drain) as (server, url), httpx.AsyncClient(trust_env=False) as http:
        server.handle_exit(signal.SIGTERM, None)
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        assert (await http.get(url)).status_code == 204
        assert not server.should_exit
        over.set()


async def test_a_second_signal_gives_the_drain_up() -> None:
    begun, given_up = asyncio.Event(), asyncio.Event()

    async def drain() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async with serving(drain) as (server, _):
        server.handle_exit(signal.SIGTERM, None)
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        server.handle_exit(signal.SIGTERM, None)
    assert given_up.is_set()


async def test_two_signals_at_once_begin_one_drain() -> None:
    drains = 0

    async def drain() -> None:
        nonlocal drains
        drains += 1

    async with serving(drain) as (server, _):
        server.handle_exit(signal.SIGTERM, None)
        server.handle_exit(signal.SIGINT, None)
    assert drains == 1


async def test_a_drain_that_breaks_ends_the_server_all_the_same() -> None:
    async def drain() -> None:
        raise asyncio.CancelledError

    async with serving(drain) as (server, _):
        server.handle_exit(signal.SIGTERM, None)


async def no_drain() -> None:
    """End at once."""


@pytest.mark.parametrize(
    "sent",
    [
        b"FOO / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: %b\r\n\r\n" % (b"9" * 5000),
    ],
    ids=["method", "bytes", "negative", "huge"],
)
async def test_what_is_no_http_is_a_problem_like_any_other(sent: bytes) -> None:
    async with serving(no_drain) as (server, url), asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write(sent)
        answer = await reader.read()
        await let_go(writer)
        server.handle_exit(signal.SIGTERM, None)
    head, body = answer.split(b"\r\n\r\n")
    told = json.loads(body)
    assert (told["status"], told["code"]) == (400, "bad_request")
    lines = head.lower().decode().split("\r\n")
    assert lines[0] == "http/1.1 400 bad request"
    assert {
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        f"x-request-id: {told['request_id']}",
        "connection: close",
    } <= set(lines)


def test_a_port_that_is_taken_is_a_matter_of_configuration() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}") as refused:
            listen("127.0.0.1", port)
    assert "--port" in refused.value.hint


def test_an_address_that_is_not_ours_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 port 0: [\w ]+\.$") as refused:
        listen("192.0.2.1", 0)
    assert "--host" in refused.value.hint
