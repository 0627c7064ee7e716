"""A registry that is slow, or says odd things, costs those who ask for it no more than it must."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest

from codebot.gateway.registries import exchange
from codebot.network import pace
from fakes.connection import answering
from fakes.registry import PROJECT, FakeRegistry
from fakes.way_out import INDEX, PACKAGES, Outside, client_of, outside

PAGE = f"/simple/{PROJECT}/"
ARCHIVE = f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz"
OK = b"HTTP/1.1 200 OK\r\n"
GONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 60000\r\n\r\n"
DROPS = [b"X"] * 1000
LONG = OK + b"Content-Length: 1000000\r\n\r\n"


@asynccontextmanager
async def drip(first: bytes, then: Sequence[bytes], pause: float) -> AsyncIterator[SimpleNamespace]:
    """Give a registry that says something, then one piece after the other; it counts questions."""
    asked: list[bytes] = []
    told = SimpleNamespace(asked=asked, said=0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(first)
        for piece in then:
            await asyncio.sleep(pause)
            writer.write(piece)
            await writer.drain()
            told.said += 1

    async with answering(serve) as port:
        told.url = f"http://127.0.0.1:{port}"
        yield told


def slow(registry: SimpleNamespace) -> FakeRegistry:
    return registry  # type: ignore[return-value]


async def get(place: Outside, host: str, path: str, **headers: str) -> httpx.Response:
    async with client_of(place, host) as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("first", "host", "path", "headers"),
    [
        (OK, INDEX, PAGE, {}),
        (OK, PACKAGES, ARCHIVE, {}),
        (GONE, INDEX, PAGE, {}),
        (GONE, PACKAGES, ARCHIVE, {"Range": "bytes=-5"}),
    ],
    ids=["page", "file", "words", "part"],
)
async def test_nobody_waits_for_an_answer_that_comes_in_drops(
    first: bytes,
    host: str,
    path: str,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "LONGEST_ASKED", 1)
    async with (
        drip(first, DROPS, 0.02) as registry,
        outside(registry=slow(registry)) as place,
    ):
        got = await asyncio.gather(*(get(place, host, path, **headers) for _ in range(3)))
        assert {(one.status_code, "in time" in one.text) for one in got} == {(502, True)}
        assert len(registry.asked) <= 1  # on a loaded machine the second may end before it is asked
        assert place.library._flights == {}


async def test_nobody_waits_for_a_head_that_comes_in_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LONGEST_ASKED", 0.5)
    async with (
        drip(OK, DROPS, 0.02) as registry,
        outside(registry=slow(registry)) as place,
        client_of(place, PACKAGES) as client,
    ):
        assert (await client.head(ARCHIVE)).status_code == 502


async def test_a_body_that_comes_in_drops_is_given_up_and_asked_for_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "WINDOW", 0.5)
    async with (
        drip(LONG, DROPS, 0.02) as registry,
        outside(registry=slow(registry)) as place,
    ):
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await get(place, PACKAGES, ARCHIVE)
        assert len(registry.asked) == 2
        assert registry.said < len(DROPS)
        assert [*(place.folder / "drafts").iterdir()] == []


async def test_what_comes_slowly_is_handed_on_as_it_comes() -> None:
    """A client waits for some byte, not for a block: pip for 15 seconds."""
    pieces = [b"x" * 1000] * 60
    async with (
        drip(OK + b"Content-Length: 60000\r\n\r\n", pieces, 0.05) as registry,
        outside(registry=slow(registry)) as place,
        client_of(place, PACKAGES) as client,
        client.stream("GET", ARCHIVE) as answer,
    ):
        said = [registry.said async for _ in answer.aiter_raw()]
    assert said[0] < len(pieces) // 2
    assert said[-1] == len(pieces)


async def test_a_page_for_people_in_the_place_of_a_file_is_not_kept() -> None:
    async with (
        FakeRegistry(told={"content-type": "text/html; charset=utf-8"}) as registry,
        outside(registry=registry) as place,
    ):
        registry.archive, right = b"<html>Log in first.</html>", registry.archive
        assert (await get(place, PACKAGES, ARCHIVE)).content == registry.archive
        registry.archive = right
        registry.told = {}
        assert (await get(place, PACKAGES, ARCHIVE)).content == right


async def test_headers_go_on_as_they_came_whatever_they_mean() -> None:
    name = "attachment; filename=\u65e5\u672c.tgz".encode()
    head = OK + b"Content-Length: 1\r\nContent-Disposition: " + name + b"\r\n\r\n"
    async with (
        drip(head, [b"X"], 0) as registry,
        outside(registry=slow(registry)) as place,
    ):
        for _ in range(2):
            answer = await get(place, PACKAGES, ARCHIVE)
            said = dict(answer.headers.raw)
            assert (answer.content, said[b"content-disposition"]) == (b"X", name)
    assert len(registry.asked) == 1
