"""How the service itself goes out for boxes: which registries it uses, and a company's proxy."""

import asyncio
import base64
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from codebot.gateway.registries import upstreams
from codebot.gateway.registries.fetch import Fetcher, Gate, Unfetchable
from codebot.gateway.registries.upstreams import Registry, ask_npm, ask_pip
from fakes.connection import answering
from fakes.registry import FakeRegistry
from fakes.way_out import HOST, client_hello, outside

PUBLIC = ("93.184.215.14",)


# --- Which registries ------------------------------------------------------------------------


async def test_a_program_that_does_not_answer_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npm, pid = tmp_path / "npm", tmp_path / "pid"
    npm.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n")
    npm.chmod(0o755)
    monkeypatch.setattr(upstreams, "_ASK_SECONDS", 0.5)
    assert await ask_npm(str(tmp_path)) is None
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def told_by_pip() -> str:
    """Give the default that pip's help names."""
    wide = {**os.environ, "COLUMNS": "200"}
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "install", "--help"),
        stdout=asyncio.subprocess.PIPE,
        env=wide,
    )
    said, _ = await asking.communicate()
    found = re.search(r"--index-url <url>.*?\(default\s+(\S+?)\)", said.decode(), re.DOTALL)
    assert found
    return found[1]


async def test_without_pip_the_public_index_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    default = await ask_pip()
    monkeypatch.setattr(upstreams, "find_spec", lambda _: None)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple/")
    assert await ask_pip() == default


async def test_pip_and_npm_know_where_they_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert await ask_pip() == Registry(await told_by_pip())
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:pw@mirror.example/simple/")
    monkeypatch.setenv("npm_config_registry", "https://mirror.example/npm/")
    assert await ask_pip() == Registry("https://mirror.example/simple", ("me", "pw"))
    assert await ask_npm(os.environ["PATH"]) == Registry("https://mirror.example/npm")
    assert await ask_npm("/no/such/folder") is None


async def test_pip_is_asked_once_for_everybody_and_again_when_it_could_not_say() -> None:
    found = [None, Registry("https://mirror.example/simple")]
    asked = 0

    async def ask() -> Registry | None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return found[min(asked, 2) - 1]

    async with outside() as place:
        place.library._catalog = None
        place.library.ask_pip = ask
        catalogs = [place.library.catalog() for _ in range(2)]
        assert [one.pip for one in await asyncio.gather(*catalogs)] == [None, None]
        catalogs = [place.library.catalog() for _ in range(2)]
        assert [one.pip for one in await asyncio.gather(*catalogs)] == [found[1]] * 2
        assert asked == 2


async def test_pip_is_not_asked_where_boxes_may_not_read_its_registry() -> None:
    async def ask() -> Registry | None:
        raise AssertionError("pip is asked")

    async with outside() as place:
        place.library._catalog = None
        place.library.names = ("go",)
        place.library.ask_pip = ask
        assert (await place.library.catalog()).is_sure


# --- A company's proxy -----------------------------------------------------------------------


@asynccontextmanager
async def company_proxy(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Give the address of a proxy, and what it was asked."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await reader.read()
        writer.write(b"from outside")

    async with answering(serve) as port:
        yield f"http://me:p%40w@127.0.0.1:{port}", heads


CONNECT = f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode()


@pytest.mark.parametrize("resolved", [PUBLIC, ()])
async def test_a_host_is_reached_through_the_companys_proxy(resolved: Sequence[str]) -> None:
    async with (
        company_proxy(b"HTTP/1.1 200 OK\r\n\r\n") as (proxy, heads),
        outside(proxy=proxy, resolved=resolved) as place,
    ):
        said = await place.say(CONNECT, client_hello(HOST))
    assert said.endswith(b"established\r\n\r\nfrom outside")
    [head] = heads
    assert head.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n".encode())
    assert base64.b64encode(b"me:p@w") in head


async def test_a_private_address_is_refused_before_any_proxy_is_asked() -> None:
    async with (
        company_proxy(b"HTTP/1.1 200 OK\r\n\r\n") as (proxy, heads),
        outside(proxy=proxy, resolved=["10.0.0.1"]) as place,
    ):
        assert (await place.say(CONNECT)).startswith(b"HTTP/1.1 403 ")
    assert heads == []


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 No\r\n\r\n", b"junk" * 30_000])
async def test_a_proxy_that_refuses_is_told_as_such(answer: bytes) -> None:
    async with (
        company_proxy(answer) as (proxy, _),
        outside(proxy=proxy, resolved=PUBLIC) as place,
    ):
        said = await place.connect(f"{HOST}:443")
    assert b"the company's proxy refuses it" in said
    assert [host for host, _, _ in place.refused()] == [HOST]


async def test_where_a_proxy_goes_out_a_redirect_is_its_to_judge() -> None:
    async def here(host: str, port: int) -> Sequence[str]:
        assert host != "elsewhere.example"
        return (host,)

    async with (
        company_proxy(b"HTTP/1.1 502 No\r\n\r\n") as (proxy, heads),
        FakeRegistry(redirect="https://elsewhere.example/x") as registry,
    ):
        gate = Gate(here)
        gate.trust([Registry(registry.url)])
        fetcher = Fetcher(lambda url: proxy if "elsewhere" in url else None, gate)
        with pytest.raises(Unfetchable):
            async with fetcher.get(f"{registry.url}/x", {}):
                pass
        await fetcher.close()
    assert heads[0].startswith(b"CONNECT elsewhere.example:443 ")
