"""What the service itself asks goes through the proxy, or it says why it did not get there."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from codebot.domain.secret import Secret
from codebot.forge.github.connect import TokenCredential, connect
from codebot.gateway.anthropic import AnthropicUpstream
from codebot.gateway.egress.dial import Dialler
from codebot.gateway.egress.policy import NotLetOut, Target
from codebot.gateway.registries.fetch import Fetcher, Gate, Unfetchable
from codebot.gateway.registries.upstreams import Registry
from codebot.gateway.upstream import MESSAGES, Call
from codebot.git.git import Git
from codebot.network.client import open_client
from codebot.settings import Command, Settings, load_settings
from codebot.settings.proxy import proxy_for
from codebot.store.store import utc_now
from codebot.telemetry.redaction import Redactor
from fakes.connection import answering, let_go
from fakes.git_http import GitServer
from fakes.proxies import PASSWORD, USER, Proxy, proxy
from fakes.way_out import make_certificate

CALL = Call(MESSAGES, "", {"content-type": "application/json"}, b"{}")


def settings_with(folder: Path, **environ: str) -> Settings:
    return load_settings(
        environ, flags={}, dotenv_dir=folder, need=Command.RUN, redactor=Redactor()
    )


@asynccontextmanager
async def server(answer: bytes, certificate: Path | None = None) -> AsyncIterator[int]:
    """Answer every connection with the same bytes; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    async with answering(serve, context) as port:
        yield port


USER_FOUND = b'{"id": 1, "login": "octo"}'
FOUND = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n" + USER_FOUND
)


async def no_sleep(_: float) -> None:
    pass


async def ask_github(url: str, proxies: dict[str, str]) -> str:
    forge = connect(
        TokenCredential(Secret("ghp_token")),
        api_url=url,
        web_url=url,
        now=utc_now,
        redactor=Redactor(),
        sleep=no_sleep,
        proxies=proxies,
        silence=1,
    )
    try:
        return (await forge.check())[0].detail
    finally:
        await forge.close()


async def ask_model(url: str, proxies: dict[str, str]) -> str:
    limits = httpx.Timeout(1, pool=None)
    way = proxy_for(url, proxies)
    upstream = AnthropicUpstream(url, api_key=Secret("sk-key"), proxy=way, limits=limits)
    try:
        async with upstream.send(CALL) as answer:
            return b"".join([piece async for piece in answer.body]).decode()
    finally:
        await upstream.close()


async def ask_registry(url: str, proxies: dict[str, str]) -> str:
    async def resolve(host: str, _port: int) -> Sequence[str]:
        return (host,)

    gate = Gate(resolve)
    gate.trust([Registry(url)])
    fetcher = Fetcher(lambda asked: proxy_for(asked, proxies), gate)
    try:
        async with fetcher.get(f"{url}/simple", {}) as response:
            return (await response.aread()).decode()
    except Unfetchable as error:
        return str(error)
    finally:
        await fetcher.close()


ASKING = [ask_github, ask_model, ask_registry]


def forms(kind: str, port: int) -> list[dict[str, str]]:
    bare = f"{USER}:{PASSWORD}@127.0.0.1:{port}"
    if kind == "http":
        return [{"http_proxy": bare, "https_proxy": bare}, {"ALL_PROXY": f"http://{bare}/"}]
    return [{"HTTP_PROXY": f"socks5://{bare}", "HTTPS_PROXY": f"socks5h://{bare}"}]


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_every_form_of_a_proxy_works_for_http_git_and_boxes_alike(
    tmp_path: Path, kind: str
) -> None:
    async with (
        proxy(kind) as running,
        server(FOUND) as port,
        GitServer(tmp_path / "remote", token="secret-token") as git_server,
    ):
        git_server.create("acme", "shop", {"a.txt": "hi\n"})
        for environ in forms(kind, running.port):
            proxies = dict(settings_with(tmp_path, **environ).proxies)
            url = f"http://127.0.0.1:{port}"
            assert await ask_github(url, proxies) == "the token of octo"
            assert await ask_model(url, proxies) == USER_FOUND.decode()
            assert await ask_registry(url, proxies) == USER_FOUND.decode()
            assert running.asked == [f"127.0.0.1:{port}"] * 3
            running.asked.clear()
            await _git_lists(tmp_path, git_server, proxies)
            assert set(running.asked) == {git_server.host}
            running.asked.clear()
            assert await _dial(port, proxies) == USER_FOUND
            assert running.asked == [f"files.example.com:{port}"]
            running.asked.clear()


async def _git_lists(folder: Path, server: GitServer, proxies: dict[str, str]) -> None:
    access = server.access("acme", "shop")
    git = Git(home=folder / "git-home", proxies=proxies)
    assert "refs/heads/main" in (await git.run("ls-remote", access.url, access=access)).text


async def _public(_host: str, _port: int) -> Sequence[str]:
    return ["93.184.215.14"]


async def _dial(port: int, proxies: dict[str, str]) -> bytes:
    dialler = Dialler(lambda url: proxy_for(url, proxies), _public)
    reader, writer = await dialler.open(Target("files.example.com", port))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    said = await reader.read()
    await let_go(writer)
    return said.rpartition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("ask", ASKING)
async def test_a_proxy_that_wants_another_password_is_named_without_the_one_it_got(
    tmp_path: Path, ask: Callable[..., object]
) -> None:
    async with proxy("http") as running, proxy("socks5") as socks:
        for scheme, port in (("http", running.port), ("socks5", socks.port)):
            given = f"{scheme}://me:canary@127.0.0.1:{port}"
            proxies = dict(settings_with(tmp_path, ALL_PROXY=given).proxies)
            said = str(await ask("https://model.example", proxies))
            assert "canary" not in said
            assert "password" in said or "proxy" in said
            with pytest.raises(NotLetOut, match="asks for another user and password"):
                await _dial(443, proxies)
    assert (running.asked, socks.asked) == ([], [])


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_proxy_that_says_no_again_and_again_costs_no_open_file(
    kind: str, tmp_path: Path
) -> None:
    async with proxy(kind) as running:
        address = f"{kind}://me:canary@127.0.0.1:{running.port}"
        proxies = dict(settings_with(tmp_path, ALL_PROXY=address).proxies)
        async with open_client(
            certificate_file=None, proxy=proxy_for("https://model.example", proxies)
        ) as client:
            for _ in range(5):
                with pytest.raises(httpx.ProxyError):
                    await client.get("https://model.example")
            async with asyncio.timeout(5):
                while connections_to(running.port):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


def connections_to(port: int) -> int:
    """Count the open connections of this process to a port of loopback."""
    inodes = {
        entry[9]
        for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]
        if (entry := line.split())[2] == f"0100007F:{port:04X}"
    }
    files = {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    return sum(f"socket:[{inode}]" in files for inode in inodes)


@asynccontextmanager
async def trouble(kind: str, folder: Path) -> AsyncIterator[tuple[str, dict[str, str], str]]:
    """Make one kind of trouble: gives an address, proxies, and what must be said of it."""
    closed = Proxy()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed.port = taken.getsockname()[1]
    refused = {"HTTPS_PROXY": f"http://me:canary@127.0.0.1:{closed.port}"}
    lost = {"HTTPS_PROXY": "http://me:canary@proxy.invalid:3128"}
    match kind:
        case "name":
            yield "https://nowhere.invalid", {}, "its name cannot be resolved"
        case "refused":
            yield f"http://127.0.0.1:{closed.port}", {}, "the connection was refused"
        case "certificate":
            async with server(FOUND, make_certificate(folder)) as port:
                yield f"https://127.0.0.1:{port}", {}, "is not trusted (self-signed certificate)"
        case "no TLS":
            async with server(b"HTTP/1.1 400 Bad\r\n\r\n") as port:
                yield f"https://127.0.0.1:{port}", {}, "there is no TLS with it"
        case "cut":
            async with server(b"") as port:
                yield f"http://127.0.0.1:{port}", {}, "the connection was cut"
        case "proxy refused":
            where = f"its proxy 127.0.0.1:{closed.port}: the connection was refused"
            yield "https://api.example", refused, where
        case "proxy lost":
            where = "its proxy proxy.invalid:3128: its name cannot be resolved"
            yield "https://api.example", lost, where


@pytest.mark.parametrize(
    "kind",
    ["name", "refused", "certificate", "no TLS", "cut", "proxy refused", "proxy lost"],
)
async def test_what_keeps_a_connection_from_being_made_is_named(tmp_path: Path, kind: str) -> None:
    async with trouble(kind, tmp_path) as (url, proxies, named):
        for ask in ASKING:
            said = await ask(url, proxies)
            assert named in said, ask
            assert "canary" not in said


async def test_silence_is_named_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "it did not answer in time" in await ask_github(url, {})
        assert "it did not answer in time" in await ask_model(url, {})
