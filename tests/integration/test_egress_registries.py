"""What boxes are told of registries, and how the service itself goes out."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from codebot.domain.box import NPM_HOST, PYPI_HOST
from codebot.domain.egress import AccessVerdict
from codebot.gateway.egress import python_index, replies, upstreams
from codebot.gateway.egress.fetch import Fetcher, Unfetchable, _credentials
from codebot.gateway.egress.npm_registry import NpmRegistry
from codebot.gateway.egress.replies import plain
from codebot.gateway.egress.shelf import Shelf
from codebot.gateway.egress.upstreams import Registry, ask_npm, ask_pip
from fakes.registry import HTML, JSON, PROJECT, FakeRegistry
from fakes.way_out import HOST, client_hello, client_of, in_box, outside, run

PUBLIC = ("93.184.215.14",)
WHEEL = f"{PROJECT}-1.0-py3-none-any.whl"


# --- Python ----------------------------------------------------------------------------------


async def test_uv_installs_through_the_gateway(tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        env = in_box(place) | {
            "UV_DEFAULT_INDEX": f"http://{PYPI_HOST}:{place.port}/simple/",
            "UV_NO_CONFIG": "1",
        }
        await run(
            *(str(uv), "pip", "install", "--target", "here", "--no-cache", PROJECT),
            env=env,
            cwd=tmp_path,
        )
    assert "hello" in (tmp_path / "here" / f"{PROJECT}.py").read_text()


def _page(**file: object) -> str:
    named = {"filename": WHEEL, "url": f"../../files/{WHEEL}", "hashes": {}} | file
    return json.dumps({"meta": {"api-version": "1.0"}, "name": PROJECT, "files": [named]})


async def test_the_metadata_beside_a_file_can_be_read_alone() -> None:
    page = _page(**{"core-metadata": {"sha256": "0" * 64}})
    async with (
        FakeRegistry(page=page) as registry,
        outside(registry=registry) as place,
        client_of(place, PYPI_HOST) as client,
    ):
        [file] = (await client.get(f"/simple/{PROJECT}/")).json()["files"]
        assert file["core-metadata"] == {"sha256": "0" * 64}
        await client.get(f"{httpx.URL(file['url']).path}.metadata")
        assert registry.asked[-1][1] == f"/files/{WHEEL}.metadata"


async def test_credentials_in_the_address_of_a_file_stay_outside() -> None:
    page = _page(url=f"https://bot:hush@{HOST}/{WHEEL}")
    async with (
        FakeRegistry(page=page) as registry,
        outside(registry=registry) as place,
        client_of(place, PYPI_HOST) as client,
    ):
        [file] = (await client.get(f"/simple/{PROJECT}/")).json()["files"]
    url = base64.urlsafe_b64decode(file["url"].split("/")[-2]).decode()
    assert url == f"https://{HOST}/{WHEEL}"


@pytest.mark.parametrize("where", ["https://[v1.x]/x", "file:///etc/passwd", "http://10.0.0.1/x"])
async def test_a_file_that_is_nowhere_is_told_as_such(where: str) -> None:
    async with (
        FakeRegistry(page=_page(url=where)) as registry,
        outside(registry=registry, resolved=PUBLIC) as place,
        client_of(place, PYPI_HOST) as client,
    ):
        [file] = (await client.get(f"/simple/{PROJECT}/")).json()["files"]
        assert (await client.get(httpx.URL(file["url"]).path)).status_code == 502


async def test_a_forged_address_of_a_file_is_recorded() -> None:
    forged = base64.urlsafe_b64encode(b"https://intranet.example/x.whl").decode()
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        said = await place.ask(PYPI_HOST, f"/file/{'0' * 32}/{forged}/x.whl")
    assert said.startswith(b"HTTP/1.1 403 ")
    assert place.refused() == [(PYPI_HOST, 80, "no index has named that file")]


@pytest.mark.parametrize(
    "page",
    [
        "{",
        "[]",
        '{"files": 5}',
        '{"meta": {"api-version": "1.0"}, "name": "x", "files": [5]}',
        _page(url="http://["),
    ],
)
@pytest.mark.parametrize("accept", [JSON, HTML])
async def test_a_page_that_is_none_is_told_as_such(page: str, accept: str) -> None:
    async with (
        FakeRegistry(page=page) as registry,
        outside(registry=registry) as place,
        client_of(place, PYPI_HOST) as client,
    ):
        answer = await client.get(f"/simple/{PROJECT}/", headers={"Accept": accept})
    assert answer.status_code == 502
    assert "none of an index" in answer.text


@pytest.mark.parametrize(
    "where",
    ["https://[", "https://h:99999/", "https://[v1.x]/", f"ftp://{HOST}/", f"http://{HOST}/"],
)
async def test_a_redirect_to_what_is_no_address_of_https_is_not_followed(where: str) -> None:
    async with (
        FakeRegistry(redirect=where) as registry,
        outside(registry=registry, resolved=PUBLIC) as place,
        client_of(place, PYPI_HOST) as client,
    ):
        answer = await client.get(f"/simple/{PROJECT}/")
    assert answer.status_code == 502
    assert "ConnectError" not in answer.text


async def test_a_page_that_is_too_long_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_index, "LARGEST_PAGE", 100)
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, PYPI_HOST) as client,
    ):
        answer = await client.get(f"/simple/{PROJECT}/")
    assert (answer.status_code, answer.text) == (502, "The registry's answer is too long.\n")


async def test_the_password_of_a_mirror_follows_no_address_to_another_server() -> None:
    registry = Registry("https://mirror.example/simple", ("me", "pw"))
    assert _credentials(registry, "https://mirror.example/files/x.whl") != {}
    for other in ("https://files.example/x.whl", "https://mirror.example:444/x.whl"):
        assert _credentials(registry, other) == {}


# --- npm -------------------------------------------------------------------------------------


async def test_a_question_for_an_audit_is_answered_quietly() -> None:
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, NPM_HOST) as client,
    ):
        answer = await client.post("/-/npm/v1/security/advisories/bulk", content=b"{}")
        assert (answer.status_code, registry.asked, place.records) == (404, [], [])


async def test_what_a_box_says_of_itself_is_not_passed_on() -> None:
    said = {"Cookie": "c", "X-Exfil": "data", "User-Agent": "mine", "Authorization": "Bearer own"}
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, NPM_HOST) as client,
    ):
        await client.get(f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz?q=data", headers=said)
        [(_, path, heard)] = registry.asked
    assert not {"cookie", "x-exfil"} & heard.keys()
    assert (heard["user-agent"], heard["authorization"]) == ("codebot", "Basic bWU6c2VjcmV0")
    assert "data" not in path + str(heard)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@asynccontextmanager
async def broken_registry(answer: bytes) -> AsyncIterator[SimpleNamespace]:
    """Give the address of a registry that says this much and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"9\r\ntoo much!\r\n0\r\n\r\n",
    ],
    ids=["cut", "cut between pieces", "too long"],
)
async def test_half_an_archive_is_not_taken_for_a_whole_one(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(replies, "LARGEST_FILE", 10)
    if b"Length" in answer:
        monkeypatch.setattr(replies, "LARGEST_FILE", 2000)
    async with (
        broken_registry(answer) as registry,
        outside(registry=registry) as place,
        client_of(place, NPM_HOST) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz")
    [access] = place.records
    assert (access.verdict, access.received) == (AccessVerdict.ALLOWED, 3)
    assert all(record.exc_info is None for record in caplog.records)


async def test_an_archive_that_is_announced_as_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replies, "LARGEST_FILE", 10)
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, NPM_HOST) as client,
    ):
        answer = await client.get(f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz")
    assert (answer.status_code, answer.text) == (502, "The registry's answer is too long.\n")


async def test_what_is_written_down_of_a_download_is_what_came() -> None:
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, NPM_HOST) as client,
    ):
        answer = await client.get(f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz")
        port = httpx.URL(registry.url).port
    [access] = place.records
    assert (access.host, access.port, access.verdict) == ("127.0.0.1", port, AccessVerdict.ALLOWED)
    assert access.received == len(answer.content)


DOCUMENT = json.dumps(
    {
        "readme": 'say "tarball": "https://registry.example/npm/x" and so on',
        "versions": {
            str(n): {"dist": {"tarball": f"https://registry.example/npm/a/-/a-{n}.tgz"}}
            for n in range(30)
        },
    }
).encode()


@given(st.lists(st.integers(1, len(DOCUMENT) - 1), max_size=40))
def test_the_addresses_of_archives_are_changed_however_a_document_is_cut(cuts: list[int]) -> None:
    ends = [*sorted(set(cuts)), len(DOCUMENT)]
    pieces = [DOCUMENT[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    async def in_pieces() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    changed = json.loads(asyncio.run(_changed(in_pieces())))
    assert changed["readme"] == json.loads(DOCUMENT)["readme"]
    for n, version in changed["versions"].items():
        allowed = {f"http://ours/a/-/a-{n}.tgz", f"http://ours/npm/a/-/a-{n}.tgz"}
        assert version["dist"]["tarball"] in allowed  # both lead to the same archive


async def _changed(body: AsyncIterable[bytes]) -> bytes:
    gateway = NpmRegistry(Fetcher(lambda _: None, _nowhere), "http://ours")
    change = gateway._with_our_address(Registry("https://registry.example/npm"))
    return b"".join([piece async for piece in change(body)])


async def _nowhere(_: str, __: int) -> Sequence[str]:
    return ()


@pytest.mark.parametrize("path", ["/@a%2f..", "/@a%2F../x", "/..%2fx", "/%2e%2e/x", "/é"])
async def test_no_spelling_of_a_name_leads_out_of_the_registry(path: str) -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        assert not (await place.ask(NPM_HOST, path)).startswith(b"HTTP/1.1 200 ")
        assert registry.asked == []


# --- Which registries ------------------------------------------------------------------------


async def test_pip_is_understood_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    wide = await ask_pip()
    monkeypatch.setenv("COLUMNS", "40")
    assert await ask_pip() == wide is not None


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


async def test_a_registry_is_asked_for_once_and_its_absence_again() -> None:
    found: list[Registry | None] = [None, Registry("https://mirror.example")]
    asked = 0

    async def ask() -> Registry | None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return found[min(asked, 2) - 1]

    async def answer(_: Registry, __: Request) -> Response:
        return plain(204, "")

    shelf = Shelf(ask, answer, "")
    assert await asyncio.gather(shelf.registry(), shelf.registry()) == [None, None]
    assert await asyncio.gather(shelf.registry(), shelf.registry()) == [found[1]] * 2
    assert await shelf.registry() == found[1]
    assert asked == 2


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
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://me:p%40w@127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()


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
    async def unasked(host: str, port: int) -> Sequence[str]:
        raise AssertionError(f"{host}:{port} was looked up")

    async with (
        company_proxy(b"HTTP/1.1 502 No\r\n\r\n") as (proxy, heads),
        FakeRegistry(redirect="https://elsewhere.example/x") as registry,
    ):
        fetcher = Fetcher(lambda url: proxy if "elsewhere" in url else None, unasked)
        with pytest.raises(Unfetchable):
            async with fetcher.get(Registry(registry.url), f"{registry.url}/x", {}):
                pass
        await fetcher.close()
    assert heads[0].startswith(b"CONNECT elsewhere.example:443 ")
