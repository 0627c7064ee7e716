"""The way out of one box, with a port of loopback in the place of the box's own."""

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from codebot.domain.box import Network
from codebot.domain.egress import Access, AccessVerdict
from codebot.domain.ports import Doors
from codebot.domain.task import TaskId
from codebot.gateway.egress import dial
from codebot.gateway.egress.dial import Dialler
from codebot.gateway.egress.policy import AllowList
from codebot.gateway.egress.service import BoxEgress
from codebot.gateway.registries.authority import Authority, open_authority
from codebot.gateway.registries.cache import Cache
from codebot.gateway.registries.fetch import Fetcher, Gate
from codebot.gateway.registries.library import Library
from codebot.gateway.registries.table import NPM, PYTHON_FILES, PYTHON_INDEX
from codebot.gateway.registries.upstreams import Registry
from fakes.connection import answering
from fakes.registry import FakeRegistry

TASK = TaskId("task-1")
HOST = "files.example.com"
INDEX, FILES, PACKAGES = PYTHON_INDEX.host, PYTHON_FILES.host, NPM.host
"""The real names of registries, which a box uses."""

PAUSE, MOST_PAUSES = 0.01, 100
LARGE = 10**9


@cache
def authority() -> Authority:
    """Give whom boxes of these tests trust."""
    with TemporaryDirectory() as folder:
        return open_authority(Path(folder, "authority.pem"), lambda: datetime.now(UTC))


def trusting() -> ssl.SSLContext:
    """Give how a program in a box sees TLS."""
    return ssl.create_default_context(cadata=authority().pem.decode())


def make_certificate(folder: Path) -> Path:
    """Give a file with a key and a certificate for the host, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "host.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def model(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the model")(scope, receive, send)


@dataclass
class Outside:
    """The way out of one box, and what lies beyond it."""

    port: int
    tls_port: int
    library: Library
    folder: Path
    records: list[Access] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def say(self, *pieces: bytes, host: str = "", port: int = 0) -> bytes:
        """Send pieces one after the other, and give all that comes back; in TLS for a `host`."""
        secure = {"ssl": trusting(), "server_hostname": host} if host else {}
        at = port or (self.tls_port if host else self.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", at, **secure)  # type: ignore[arg-type]
        with suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)
            if writer.can_write_eof():
                writer.write_eof()
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def ask(self, host: str, path: str, *headers: str, named: str = "") -> bytes:
        """Ask for a path just as it is spelled: a client of a library would tidy it up."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {named or host}", "Connection: close", *headers]
        request = "\r\n".join([*lines, "", ""]).encode()
        return await self.say(request, host="" if host == "127.0.0.1" else host)

    async def connect(self, authority: str) -> bytes:
        return await self.say(f"CONNECT {authority} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def refused(self) -> list[tuple[str, int, str]]:
        return [
            (access.host, access.port, access.reason)
            for access in self.records
            if access.verdict is AccessVerdict.REFUSED
        ]


@asynccontextmanager
async def outside(
    *,
    network: Network = Network.MODEL,
    resolved: Sequence[str] = ("127.0.0.1",),
    registry: FakeRegistry | None = None,
    application: ASGIApp = model,
    proxy: str | None = None,
    budget: int = LARGE,
    folder: Path | None = None,
) -> AsyncIterator[Outside]:
    doors = Doors(*(socket.create_server(("127.0.0.1", 0)) for _ in range(2)))
    assert doors.tls
    before = _watched()
    own = TemporaryDirectory()
    kept = folder or Path(own.name)

    async def resolve(_: str, __: int) -> Sequence[str]:
        return resolved

    def shelf(path: str) -> Callable[[], Awaitable[Registry | None]]:
        async def ask() -> Registry | None:
            return Registry(registry.url + path, ("me", "secret")) if registry else None

        return ask

    library = Library(
        ask_pip=shelf("/simple"),
        ask_npm=shelf("/npm"),
        names=("python", "npm"),
        further=(),
        fetcher=Fetcher(lambda _: None, Gate(resolve)),
        cache=Cache(kept, budget),
    )
    ports = [door.getsockname()[1] for door in (doors.proxy, doors.tls)]
    place = Outside(*ports, library, kept)
    egress = BoxEgress(
        model=lambda task_id: application if task_id == TASK else _nobody,
        record=lambda _, access: place.records.append(access),
        allowed=AllowList(frozenset({HOST})),
        dialler=Dialler(lambda _: proxy, resolve),
        library=library,
        open_authority=authority,
        trusted=lambda pem: {"/run/registries.pem": pem},
        port=place.port,
    )
    served = await egress.serve(TASK, network, doors)
    try:
        yield place
    finally:
        await served.close()
        await egress.close()
        await _hear_the_end(before)
        own.cleanup()


def _watched() -> int:
    """Count what the loop waits for: of another kind of loop that is not known."""
    selector = getattr(asyncio.get_running_loop(), "_selector", None)
    return len(selector.get_map()) if selector else 0


async def _hear_the_end(before: int) -> None:
    """Let clients of the test hear that their connections are gone: who is left open is told of."""
    for _ in range(MOST_PAUSES):
        await asyncio.sleep(PAUSE)
        if _watched() <= before:
            return


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the model of another task")


@asynccontextmanager
async def tls_server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Serve HTTPS for the host; whoever dials port 443 arrives here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        body = await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) + 5))
        writer.write(b"hello" + body)

    really = asyncio.open_connection

    async def open_connection(host: str, asked: int) -> dial.Streams:
        return await really(host, port if asked == 443 else asked)

    async with answering(answer, context) as port:
        monkeypatch.setattr(dial.asyncio, "open_connection", open_connection)
        try:
            yield
        finally:
            monkeypatch.setattr(dial.asyncio, "open_connection", really)


def client_hello(name: str | None) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def in_box(place: Outside, folder: Path) -> dict[str, str]:
    """Give the environment of a box, with names known by its proxy instead of /etc/hosts."""
    bundle = folder / "bundle.pem"
    bundle.write_bytes(authority().pem)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "HTTPS_PROXY": place.url,
        "https_proxy": place.url,
        "SSL_CERT_FILE": str(bundle),
        "PIP_CERT": str(bundle),
        "NODE_EXTRA_CA_CERTS": str(bundle),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "npm_config_userconfig": str(folder / "npmrc"),
        "npm_config_globalconfig": str(folder / "npmrc-of-all"),
        "npm_config_replace_registry_host": "always",
        "npm_config_audit": "false",
    }


async def run(*argv: str, env: dict[str, str], cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@asynccontextmanager
async def client_of(place: Outside, host: str) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of a registry, by the proxy of the box."""
    async with httpx.AsyncClient(
        base_url=f"https://{host}",
        proxy=place.url,
        verify=trusting(),
        trust_env=False,
        timeout=30,
    ) as client:
        yield client
