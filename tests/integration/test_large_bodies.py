"""Clients that send all before they read, and far too much of it, still learn why it is refused."""

import asyncio
import http.client
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fakes.api import KEY, open_api, serve

MEGABYTE = 1024 * 1024
BODY = 32 * MEGABYTE
ROUTE = "/api/tasks/submit"
Send = Callable[[int, str, bool], int]


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with open_api(tmp_path) as api, serve(api.app) as port:
        yield port


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def pieces() -> Iterator[bytes]:
    for _ in range(BODY // MEGABYTE):
        yield b"x" * MEGABYTE


def by_curl(port: int, key: str, in_chunks: bool) -> int:  # noqa: FBT001 - as the table has it
    told = [*map(": ".join, headers(key).items()), "Expect:"]
    told += ["Transfer-Encoding: chunked"] if in_chunks else []
    flags = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-"]
    flags += [word for line in told for word in ("-H", line)]
    done = subprocess.run(
        ["curl", *flags, f"http://127.0.0.1:{port}{ROUTE}"],
        input=b"x" * BODY,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return int(done.stdout)


def by_python(port: int, key: str, in_chunks: bool) -> int:  # noqa: FBT001
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = pieces() if in_chunks else b"x" * BODY
    connection.request("POST", ROUTE, body, headers(key), encode_chunked=in_chunks)
    status = connection.getresponse().status
    connection.close()
    return status


def by_httpx(port: int, key: str, in_chunks: bool) -> int:  # noqa: FBT001
    body = pieces() if in_chunks else b"x" * BODY
    url = f"http://127.0.0.1:{port}{ROUTE}"
    return httpx.post(url, content=body, headers=headers(key), trust_env=False).status_code


@pytest.mark.parametrize("in_chunks", [False, True], ids=["announced", "in chunks"])
@pytest.mark.parametrize(("key", "status"), [(KEY, 413), ("wrong", 401)], ids=["key", "wrong key"])
@pytest.mark.parametrize("send", [by_curl, by_python, by_httpx])
async def test_a_client_with_far_too_much_reads_why(
    port: int,
    send: Send,
    key: str,
    status: int,
    in_chunks: bool,  # noqa: FBT001
) -> None:
    assert await asyncio.to_thread(send, port, key, in_chunks) == status
