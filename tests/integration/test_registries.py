"""What a box reads of registries under their real names, over real sockets and TLS."""

import asyncio
import gc
import json
import sys
from asyncio import sslproto
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from codebot.domain.egress import AccessVerdict
from codebot.gateway.registries import copying
from fakes.connection import answering, let_go
from fakes.registry import HTML, JSON, PROJECT, FakeRegistry
from fakes.way_out import FILES, HOST, INDEX, PACKAGES, client_of, in_box, outside, run, trusting

PUBLIC = ("93.184.215.14",)
WHEEL = f"{PROJECT}-1.0-py3-none-any.whl"
PAGE = f"/simple/{PROJECT}/"
ARCHIVE = f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz"


# --- Real clients ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [JSON, HTML])
async def test_pip_installs_from_an_index_of_either_kind(tmp_path: Path, kind: str) -> None:
    async with FakeRegistry(kind) as registry, outside(registry=registry) as place:
        await run(
            *(sys.executable, "-m", "pip", "install", "--target", "here", "--no-cache-dir"),
            PROJECT,
            env=in_box(place, tmp_path),
            cwd=tmp_path,
        )
    assert "hello" in (tmp_path / "here" / f"{PROJECT}.py").read_text()
    assert {method for method, _, _ in registry.asked} == {"GET"}
    assert place.refused() == []


async def test_uv_locks_real_names_and_installs_from_its_lock_file(tmp_path: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "1"\ndependencies = ["{PROJECT}"]\n'
    )
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        env = in_box(place, tmp_path) | {"UV_NO_CACHE": "1", "UV_PYTHON": sys.executable}
        await run(uv, "lock", "--no-config", env=env, cwd=tmp_path)
        lock = (tmp_path / "uv.lock").read_text()
        await run(uv, "sync", "--no-config", "--frozen", env=env, cwd=tmp_path)
    assert f"https://{INDEX}/simple" in lock
    assert "127.0.0.1" not in lock
    assert (tmp_path / "uv.lock").read_text() == lock
    [installed] = (tmp_path / ".venv").glob(f"lib/*/site-packages/{PROJECT}.py")
    assert "hello" in installed.read_text()


async def test_npm_installs_and_its_lock_file_keeps_the_registrys_addresses(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        await run("npm", "install", PROJECT, env=in_box(place, tmp_path), cwd=tmp_path)
        lock = json.loads((tmp_path / "package-lock.json").read_text())
        resolved = lock["packages"][f"node_modules/{PROJECT}"].get("resolved")
        assert resolved == f"{registry.url}/npm{ARCHIVE}"
    assert (tmp_path / "node_modules" / PROJECT / "index.js").exists()


# --- A company's mirror ----------------------------------------------------------------------


async def test_a_file_of_the_public_server_is_found_by_its_name_in_the_mirrors_page() -> None:
    path = f"/packages/0e/f9/{'6' * 60}/{WHEEL}"
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, FILES) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):  # these bytes have another hash
            await client.get(path)
        assert [asked for _, asked, _ in registry.asked] == [PAGE, f"/files/{WHEEL}"]


async def test_the_mirrors_credentials_go_to_the_mirror_and_to_no_box() -> None:
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, INDEX) as client,
    ):
        said = {"Cookie": "c", "X-Exfil": "data", "Authorization": "Bearer own"}
        page = await client.get(f"{PAGE}?q=data", headers=said)
        [(_, path, sent)] = registry.asked
    assert sent["authorization"] == "Basic bWU6c2VjcmV0"
    assert sent["user-agent"] == "codebot"
    assert not {"cookie", "x-exfil"} & sent.keys()
    assert "data" not in path + str(sent)
    assert "secret" not in page.text
    assert "bWU6" not in page.text


# --- What a registry serves ------------------------------------------------------------------


@pytest.mark.parametrize("host", [INDEX, PACKAGES, FILES])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_is_written_to_a_registry(host: str, method: str) -> None:
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, host) as client,
    ):
        answer = await client.request(method, f"/{PROJECT}", content=b"stolen")
        assert answer.status_code == 405
        assert registry.asked == []
    assert place.refused() == [(host, 443, "registries are for reading")]


async def test_a_question_for_an_audit_is_answered_quietly() -> None:
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, PACKAGES) as client,
    ):
        answer = await client.post("/-/npm/v1/security/advisories/bulk", content=b"{}")
        assert (answer.status_code, registry.asked, place.records) == (404, [], [])


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (INDEX, "/simple/../secret/"),
        (INDEX, "/simple/%2e%2e/"),
        (INDEX, "/simple/a%2fb/"),
        (INDEX, "/simple/a/b/"),
        (INDEX, "/simple//a/"),
        (INDEX, "/simple/%252e%252e/"),
        (INDEX, "/legacy/"),
        (INDEX, "/"),
        (PACKAGES, "/../x"),
        (PACKAGES, "/@a/../x"),
        (PACKAGES, "/@a%2f.."),
        (PACKAGES, "/a/-/../../x.tgz"),
        (PACKAGES, "/-/user/x"),
        (PACKAGES, "/a/b/c/d"),
        (PACKAGES, "/a%00b"),
        (PACKAGES, "/\\a"),
        (PACKAGES, "/\xe9"),
        (FILES, "/x.whl"),
    ],
)
async def test_a_registry_has_only_packages_however_a_path_is_spelled(host: str, path: str) -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        said = await place.ask(host, path)
        assert said.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), said
        assert registry.asked == []


@pytest.mark.parametrize("status", [404, 410, 500])
async def test_an_answer_that_is_no_success_goes_on_to_the_client(status: int) -> None:
    async with (
        FakeRegistry(status=status) as registry,
        outside(registry=registry) as place,
        client_of(place, INDEX) as client,
    ):
        answer = await client.get(PAGE)
        assert (answer.status_code, answer.text) == (status, "broken")


async def test_without_a_registry_the_box_is_told_so() -> None:
    async with outside() as place, client_of(place, INDEX) as client:
        answer = await client.get(PAGE)
    assert answer.status_code == 502
    assert "CODEBOT_EGRESS_PRIVATE" in answer.text


@pytest.mark.parametrize("where", ["http://127.0.0.1:1/", "https://evil.example/", "file:///etc"])
async def test_a_registry_leads_nobody_into_the_companys_network(where: str) -> None:
    async with (
        FakeRegistry(redirect=where) as registry,
        outside(registry=registry, resolved=["10.0.0.1"]) as place,
    ):
        place.library.fetcher.gate.trust([])
        async with client_of(place, INDEX) as client:
            answer = await client.get(PAGE)
        assert answer.status_code == 502
        assert "location" not in answer.headers


@pytest.mark.parametrize("where", ["https://[", "https://h:99999/", "https://[v1.x]/"])
async def test_a_redirect_to_what_is_no_address_is_not_followed(where: str) -> None:
    async with (
        FakeRegistry(redirect=where) as registry,
        outside(registry=registry) as place,
        client_of(place, INDEX) as client,
    ):
        answer = await client.get(PAGE)
    assert (answer.status_code, "location" in answer.headers) == (502, False)


async def test_a_redirect_to_another_registry_is_the_clients_to_follow() -> None:
    async with (
        FakeRegistry(redirect=f"https://{FILES}/packages/x") as registry,
        outside(registry=registry) as place,
        client_of(place, INDEX) as client,
    ):
        answer = await client.get(PAGE)
    assert answer.headers["location"] == f"https://{FILES}/packages/x"
    assert place.records[0].host == INDEX


# --- TLS -------------------------------------------------------------------------------------


async def test_who_knows_no_proxy_is_answered_by_name() -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        assert b"200 OK" in await place.ask(INDEX, PAGE)


async def test_a_connection_that_ends_leaves_no_fault_on_an_older_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Debian 12's forgets its own state when a connection is closed twice, and then asks for it."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: faults.append(told))
    monkeypatch.setattr(
        sslproto._SSLProtocolTransport,  # type: ignore[attr-defined]
        "abort",
        lambda transport: transport._ssl_protocol._abort(None),
    )
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        assert b"200 OK" in await place.ask(INDEX, PAGE)
    gc.collect()
    assert faults == []


@pytest.mark.parametrize("named", [PACKAGES, HOST, "127.0.0.1", f"{INDEX}:80", f"{INDEX}, {FILES}"])
async def test_another_host_inside_of_tls_is_misdirected(named: str) -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        said = await place.ask(INDEX, PAGE, named=named)
        twice = await place.ask(INDEX, PAGE, f"Host: {named}")
        whole = await place.ask(INDEX, f"https://{named}{PAGE}")
        assert registry.asked == []
    for each in (said, twice, whole):
        assert each.startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 ")), each


@pytest.mark.parametrize("name", [HOST, "evil.example", f"sub.{INDEX}"])
async def test_nobody_is_vouched_for_but_registries(name: str) -> None:
    async with outside() as place:
        with pytest.raises(OSError):  # noqa: PT011 - however TLS fails
            await place.say(b"GET / HTTP/1.1\r\n\r\n", host=name)
        await asyncio.sleep(0.05)
    assert place.refused() == [(name, 443, "no registry, and no host of a tunnel")]


async def test_a_tunnel_to_one_registry_with_the_name_of_another_inside_goes_nowhere() -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(f"CONNECT {INDEX}:443 HTTP/1.1\r\n\r\n".encode())
        assert b"200" in await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(OSError):  # noqa: PT011 - however TLS fails
            await writer.start_tls(trusting(), server_hostname=PACKAGES)
        await let_go(writer)
        await asyncio.sleep(0.05)
    [(host, port, why)] = place.refused()
    assert (host, port) == (INDEX, 443)
    assert "another name" in why


async def test_what_comes_before_the_answer_to_a_connect_is_not_taken_for_tls() -> None:
    async with outside() as place:
        said = await place.say(f"CONNECT {INDEX}:443 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n".encode())
    assert said == b""
    assert [why for _, _, why in place.refused()] == ["something before the answer"]


async def test_a_second_request_hidden_in_the_body_of_a_first_is_no_request() -> None:
    hidden = f"GET {ARCHIVE} HTTP/1.1\r\nHost: {INDEX}\r\n\r\n".encode()
    head = f"GET {PAGE} HTTP/1.1\r\nHost: {INDEX}\r\nConnection: close\r\n"
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        for more in (
            f"Content-Length: {len(hidden)}\r\nTransfer-Encoding: chunked\r\n",
            f"Content-Length: {len(hidden)}\r\nContent-Length: 0\r\n",
            f"Content-Length: {len(hidden)}\r\n",
        ):
            await place.say((head + more + "\r\n").encode() + hidden, host=INDEX)
        assert {path for _, path, _ in registry.asked} <= {PAGE}


# --- What breaks off -------------------------------------------------------------------------


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@asynccontextmanager
async def broken_registry(answer: bytes) -> AsyncIterator[SimpleNamespace]:
    """Give the address of a registry that says this much and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with answering(serve) as port:
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"9\r\ntoo much!\r\n0\r\n\r\n",
    ],
    ids=["cut", "cut between pieces", "too long"],
)
async def test_half_an_archive_is_not_taken_for_a_whole_one_and_not_kept(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(copying, "LARGEST_FILE", 10)
    if b"Length" in answer:
        monkeypatch.setattr(copying, "LARGEST_FILE", 2000)
    async with (
        broken_registry(answer) as registry,
        outside(registry=registry) as place,  # type: ignore[arg-type]
        client_of(place, PACKAGES) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(ARCHIVE)
        assert place.library.cache.size() == 0
        assert [*(place.folder / "drafts").iterdir()] == []
    [access] = place.records
    assert access.verdict is AccessVerdict.ALLOWED
    assert all(record.exc_info is None for record in caplog.records)


async def test_what_is_written_down_of_a_download_is_what_came() -> None:
    async with (
        FakeRegistry() as registry,
        outside(registry=registry) as place,
        client_of(place, PACKAGES) as client,
    ):
        answer = await client.get(ARCHIVE)
    [access] = place.records
    assert (access.host, access.port, access.verdict) == (PACKAGES, 443, AccessVerdict.ALLOWED)
    assert access.received == len(answer.content) == len(registry.archive)
