"""What a box can reach, over real sockets: a port of loopback stands for the box's own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from codebot.domain.box import Network
from codebot.domain.egress import AccessVerdict
from codebot.gateway.egress import dial, doorman, tunnel
from codebot.gateway.egress.hello import HelloReader
from codebot.gateway.egress.service import MOST_CONNECTIONS
from fakes.way_out import HOST, client_hello, make_certificate, outside, tls_server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test's own server stand for a host of the open internet."""
    monkeypatch.setattr(dial, "check_addresses", lambda _, addresses, __: list(addresses))


# --- CONNECT ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("loopback_is_public")
async def test_a_named_host_is_reached_by_tls_and_counted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(bytes(2_000_000))
    async with outside() as place, tls_server(certificate, monkeypatch):
        process = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--show-error", "--proxy", place.url),
            *("--cacert", str(certificate), "--data-binary", f"@{tmp_path / 'body'}"),
            *("-H", "Expect:", f"https://{HOST}/"),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert (process.returncode, said[:5], len(said)) == (0, b"hello", 2_000_005)
    [access] = place.records
    assert (access.host, access.port, access.verdict) == (HOST, 443, AccessVerdict.ALLOWED)
    assert access.sent > 2_000_000
    assert access.received > 2_000_000


@pytest.mark.parametrize(
    ("authority", "host", "reason"),
    [
        ("evil.example:443", "evil.example", "not in CODEBOT_EGRESS, and no registry"),
        (f"{HOST}:22", HOST, "only port 443 is open"),
        ("127.0.0.1:443", "127.0.0.1", "an address, not a host name"),
        ("[::1]:443", "[::1]:443", "not a host name and a port"),
        (f"me:pw@{HOST}:443", f"me:pw@{HOST}:443", "not a host name and a port"),
    ],
)
async def test_every_other_target_is_refused_in_words_and_recorded(
    authority: str, host: str, reason: str
) -> None:
    async with outside() as place:
        said = await place.connect(authority)
    assert said.startswith(b"HTTP/1.1 403 ")
    assert b"CODEBOT_EGRESS" in said
    [(seen, _, why)] = place.refused()
    assert (seen, why) == (host, reason)


@pytest.mark.parametrize(
    "resolved",
    [
        ("127.0.0.1",),
        ("93.184.215.14", "10.0.0.1"),
        ("169.254.169.254",),
        ("::ffff:127.0.0.1",),
        (),
    ],
)
async def test_a_name_that_means_a_private_address_is_refused(resolved: Sequence[str]) -> None:
    async with outside(resolved=resolved) as place:
        assert (await place.connect(f"{HOST}:443")).startswith(b"HTTP/1.1 403 ")
    assert [host for host, _, _ in place.refused()] == [HOST]


@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize("name", ["evil.example", None])
async def test_tls_with_another_name_inside_goes_nowhere(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    hello = client_hello(name)
    async with outside() as place, tls_server(certificate, monkeypatch):
        said = await place.say(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode(), hello)
    assert said == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert [host for host, _, _ in place.refused()] == [HOST]


@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize(
    "junk",
    [b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"\x16\x03\x01\x40\x00" + bytes(40_000)],
)
async def test_what_is_no_tls_goes_nowhere(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, junk: bytes
) -> None:
    async with outside() as place, tls_server(certificate, monkeypatch):
        said = await place.say(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode(), junk)
    assert said in {b"HTTP/1.1 200 Connection established\r\n\r\n", b""}
    assert [host for host, _, _ in place.refused()] == [HOST]


def test_a_hello_in_pieces_is_read_whole() -> None:
    hello, reader = client_hello(HOST), HelloReader()
    more = [reader.feed(hello[n : n + 7]) for n in range(0, len(hello), 7)]
    assert more[:-1] == [True] * (len(more) - 1)
    assert (reader.name, more[-1]) == (HOST, False)


@pytest.mark.parametrize(
    "request_line",
    [
        b"CONNECT " + b"a" * 70_000 + b":443 HTTP/1.1\r\n\r\n",
        f"CONNECT {HOST}:443\r\n\r\n".encode(),
        f"CONNECT {HOST}:443 HTTP/9.9\r\n\r\n".encode(),
        b"CONNECT \r\n\r\n",
    ],
)
async def test_a_malformed_connect_is_refused(request_line: bytes) -> None:
    async with outside() as place:
        said = await place.say(request_line)
    assert said == b"" or said.startswith(b"HTTP/1.1 403 ")
    assert len(place.refused()) == 1


async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorman, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(tunnel, "HEAD_SECONDS", 0.1)
    async with outside() as place:
        for beginning in (b"", b"CONN", b"CONNECT a.b:443 HTTP/1.1\r\nX: "):
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(beginning)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


async def test_a_box_has_only_so_many_connections_and_others_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with outside() as place:
        held = [
            await asyncio.open_connection("127.0.0.1", place.port) for _ in range(MOST_CONNECTIONS)
        ]
        await asyncio.sleep(0.1)
        assert await place.say(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") == b""
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


async def test_a_program_may_keep_fifty_connections_to_each_of_several_hosts() -> None:
    async with outside() as place:
        held = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(4 * 50)]
        await asyncio.sleep(0.1)
        assert b"the model" in await place.ask("127.0.0.1", "/")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


# --- Plain HTTP ------------------------------------------------------------------------------


async def test_the_model_answers_the_boxes_of_its_task() -> None:
    async with outside() as place, httpx.AsyncClient(base_url=place.url) as client:
        assert (await client.post("/v1/messages")).text == "the model"


async def test_a_test_box_has_no_model() -> None:
    async with (
        outside(network=Network.REGISTRIES) as place,
        httpx.AsyncClient(base_url=place.url) as client,
    ):
        answer = await client.post("/v1/messages")
    assert answer.status_code == 403


async def test_plain_http_to_anywhere_is_refused_and_recorded() -> None:
    async with outside() as place, httpx.AsyncClient(proxy=place.url) as client:
        answer = await client.get(f"http://{HOST}/x")
        assert answer.status_code == 403
        assert "only https passes" in answer.text
        await client.get("http://169.254.169.254/latest/meta-data/")
    assert [(host, port) for host, port, _ in place.refused()] == [
        (HOST, 80),
        ("169.254.169.254", 80),
    ]


@pytest.mark.parametrize("target", ["http://evil.example/v1/messages", "http://u@127.0.0.1/x", "x"])
async def test_the_address_counts_and_not_what_the_host_header_says(target: str) -> None:
    async with outside() as place:
        said = await place.say(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert b"the model" not in said


async def test_a_head_without_an_end_is_not_kept() -> None:
    async with outside() as place:
        said = await place.say(b"GET / HTTP/1.1\r\n", *[b"X: " + b"a" * 60_000] * 4)
    assert b"the model" not in said
    assert b" 200 " not in said


async def test_a_large_body_is_no_large_head() -> None:
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 400000\r\n\r\n"
    async with outside() as place:
        assert b"the model" in await place.say(head, *[b"x" * 100_000] * 4)


@pytest.mark.parametrize("junk", [b"\x00\x01\x02\x03\r\n\r\n", b"GET /\r\n\r\n", b"x" * 70_000])
async def test_junk_is_no_request(junk: bytes) -> None:
    async with outside() as place:
        assert b" 200 " not in await place.say(junk)


async def test_the_end_of_a_box_cuts_everything() -> None:
    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(600)

    async with outside(application=hang) as place:
        waiting = asyncio.create_task(place.say(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
        await asyncio.sleep(0.1)
    async with asyncio.timeout(5):
        assert await waiting == b""
