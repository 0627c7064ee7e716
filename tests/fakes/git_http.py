"""A real smart HTTP git server on loopback, behind a token, that fails when it is told to.

Git's own `http-backend` does the work (https://git-scm.com/docs/git-http-backend); around it is
just enough HTTP to check `Authorization: Basic base64(x-access-token:TOKEN)`, to count, and to
inject one fault at a time:

    async with GitServer(tmp_path / "forge", token="t0ken") as server:
        server.create("acme", "shop", {"README.md": "hello"})
        server.fail_next("push", Fault(status=502, too_late=True))
        ...
        assert server.pushes == 2
"""

import asyncio
import base64
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import unquote

from codebot.domain.repository import ForgeKind, RemoteAccess, Repository
from codebot.domain.secret import Secret
from fakes.connection import answering
from fakes.large_files import LargeFileShelf, is_about_large_files

Service = Literal["fetch", "push"]

HTML = b"<html><body><h1>Unicorn!</h1></body></html>"
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request: an answer instead of the real one, or no answer.

    `status` answers with an HTML page; `cut` closes the connection; `delay` waits first and, alone,
    lets the request pass. `method` picks the request: GET asks for the refs, POST moves objects.
    `too_late` lets the real work happen before things go wrong.
    """

    status: int | None = None
    cut: bool = False
    delay: float = 0.0
    method: Literal["GET", "POST"] = "GET"
    too_late: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def service(self) -> Service:
        return "push" if "git-receive-pack" in self.path + self.query else "fetch"


@dataclass
class GitServer:
    """Serves the bare repositories below `root`; `async with` starts and stops it."""

    root: Path
    token: str = "git-token"
    anonymous_reads: bool = False
    answered: list[tuple[Request, int]] = field(default_factory=list)
    faults: dict[Service, list[Fault]] = field(default_factory=lambda: {"fetch": [], "push": []})

    large_files: LargeFileShelf = field(default_factory=LargeFileShelf)
    requests_for_large_files: list[Request] = field(default_factory=list)
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    # --- what tests look at ------------------------------------------------------------------

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._port}"

    def url(self, owner: str, name: str) -> str:
        return f"http://{self.host}/{owner}/{name}.git"

    def access(self, owner: str, name: str, token: str | None = None) -> RemoteAccess:
        return RemoteAccess(self.url(owner, name), Secret(token or self.token))

    def repository(self, owner: str, name: str) -> Repository:
        return Repository(ForgeKind.GITHUB, self.host, owner, name, self.url(owner, name))

    def path(self, owner: str, name: str) -> Path:
        return self.root / owner / f"{name}.git"

    @property
    def fetches(self) -> int:
        """How many times somebody asked for refs to fetch and got them."""
        return self._count("fetch")

    @property
    def pushes(self) -> int:
        """How many packs were pushed, whatever the pusher heard of it."""
        return self._count("push", "POST")

    def _count(self, service: Service, method: str = "GET") -> int:
        return sum(
            request.service == service and request.method == method and status == 200
            for request, status in self.answered
        )

    # --- what tests do to it -----------------------------------------------------------------

    def create(
        self,
        owner: str,
        name: str,
        files: Mapping[str, str | bytes] | None = None,
        branch: str = "main",
    ) -> Path:
        """Make a repository, with one commit unless `files` is None."""
        path = self.path(owner, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        git("init", "-q", "--bare", "-b", branch, str(path))
        with (path / "config").open("a") as config:
            config.write("[http]\n\treceivepack = true\n")
        if files is not None and ".gitattributes" in " ".join(files):
            self._commit_by_hand(path, files, branch, "Change files")
        elif files is not None:
            commit_to(path, files, branch, "Change files", after=None)
        return path

    def commit(
        self,
        owner: str,
        name: str,
        files: Mapping[str, str | bytes],
        branch: str = "main",
        message: str = "Change files",
    ) -> str:
        """Add a commit to a branch; give its id.

        What the attributes of a repository make of a file is only known to a checkout: where there
        are some, it goes through one.
        """
        path = self.path(owner, name)
        after = self.tip(owner, name, branch) or self._head(path)
        known = git("-C", str(path), "ls-tree", "-r", "--name-only", after) if after else ""
        if ".gitattributes" in " ".join((*files, known)):
            return self._commit_by_hand(path, files, branch, message)
        return commit_to(path, files, branch, message, after=after)

    def _head(self, path: Path) -> str | None:
        """Give the commit of the default branch, None when there is none."""
        head = git("-C", str(path), "for-each-ref", "--format=%(HEAD) %(objectname)", "refs/heads")
        return next((line[2:] for line in head.splitlines() if line.startswith("*")), None)

    def _commit_by_hand(
        self, path: Path, files: Mapping[str, str | bytes], branch: str, message: str
    ) -> str:
        """Commit as a person would, in a clone."""
        tree = self.root / ".person"
        shutil.rmtree(tree, ignore_errors=True)
        git("clone", "-q", str(path), str(tree))
        existing = git("-C", str(tree), "branch", "-r", "--list", f"origin/{branch}")
        git("-C", str(tree), "checkout", "-q", *([] if existing else ["-b"]), branch)
        for file, content in files.items():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            (tree / file).write_bytes(content.encode() if isinstance(content, str) else content)
        git("-C", str(tree), "add", "-A")
        git("-C", str(tree), "commit", "-q", "-m", message)
        git("-C", str(tree), "push", "-q", "origin", f"HEAD:refs/heads/{branch}")
        return git("-C", str(tree), "rev-parse", "HEAD")

    def tip(self, owner: str, name: str, branch: str) -> str | None:
        """Give the commit of a branch, None when there is no such branch."""
        ref = f"refs/heads/{branch}"
        found = git(
            "-C", str(self.path(owner, name)), "for-each-ref", "--format=%(objectname)", ref
        )
        return found or None

    def fail_next(self, service: Service, fault: Fault) -> None:
        """Let the next request that fits go wrong; several wait in line."""
        self.faults[service].append(fault)

    # --- how it works ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._port = await self._open.enter_async_context(answering(self._talk))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _read_request(reader, writer)) is not None:
            answer = await self._answer(request)
            if answer is None:
                break
            writer.write(answer)
            await writer.drain()

    async def _answer(self, request: Request) -> bytes | None:
        """Give the response's bytes, or None for a connection that is cut."""
        if not self._may(request):
            challenge = b'WWW-Authenticate: Basic realm="git"\r\n'
            return self._respond(request, 401, b"who are you?", challenge)
        if is_about_large_files(request.path):
            self.requests_for_large_files.append(request)
            status, told = self.large_files.answer(
                request.method, request.path, request.headers, request.body, f"http://{self.host}"
            )
            return self._respond(request, status, told, b"Content-Type: application/json\r\n")
        fault = self._next_fault(request)
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.too_late:
                await self._run_backend(request)
            if fault.cut:
                return None
            if fault.status is not None:
                return self._respond(request, fault.status, HTML, b"Content-Type: text/html\r\n")
        status, headers, body = await self._run_backend(request)
        return self._respond(request, status, body, headers, count=False)

    def _respond(
        self, request: Request, status: int, body: bytes, headers: bytes, *, count: bool = True
    ) -> bytes:
        if count:
            self.answered.append((request, status))
        start = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n".encode()
        return start + headers + b"\r\n" + body

    def _may(self, request: Request) -> bool:
        if self.large_files.lets_in(request.path, request.headers):
            return True
        if self.anonymous_reads and request.service == "fetch":
            return True
        expected = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {expected}"

    def _next_fault(self, request: Request) -> Fault | None:
        waiting = self.faults[request.service]
        found = next((fault for fault in waiting if fault.method == request.method), None)
        if found is not None:
            waiting.remove(found)
        return found

    async def _run_backend(self, request: Request) -> tuple[int, bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_cgi(self.root, request),
        )
        output, _ = await process.communicate(request.body)
        head, _, body = output.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if line]
        said = next((line for line in lines if line.startswith(b"Status:")), b"Status: 200")
        status = int(said.split()[1])
        self.answered.append((request, status))
        rest = b"".join(line + b"\r\n" for line in lines if not line.startswith(b"Status:"))
        return status, rest, body


def commit_to(
    bare: Path, files: Mapping[str, str | bytes], branch: str, message: str, after: str | None
) -> str:
    """Add a commit to a bare repository by one process of git, which is quick; give its id."""
    told = message.encode()
    by = f"{AUTHOR['GIT_COMMITTER_NAME']} <{AUTHOR['GIT_COMMITTER_EMAIL']}> now"
    stream = [b"commit refs/heads/%b\nmark :1\n" % branch.encode(), f"committer {by}\n".encode()]
    stream.append(b"data %d\n%b\n" % (len(told), told))
    stream += [f"from {after}\n".encode()] if after else []
    for name, content in files.items():
        blob = content.encode() if isinstance(content, str) else content
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        stream.append(b'M 100644 inline "%b"\n' % os.fsencode(quoted))
        stream.append(b"data %d\n%b\n" % (len(blob), blob))
    stream.append(b"\nget-mark :1\n")
    importing = ("fast-import", "--quiet", "--date-format=now")
    return git("-C", str(bare), *importing, told=b"".join(stream))


def git(*args: str, cwd: Path | None = None, told: bytes | None = None) -> str:
    """Run git as a person would, without that person's settings; give its stdout."""
    done = subprocess.run(
        ("git", *args),
        input=told,
        cwd=cwd,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **AUTHOR,
        },
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"git {args}: {done.stderr.decode()}"
    return done.stdout.decode(errors="surrogateescape").strip()


async def _read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    start = await reader.readline()
    if not start:
        return None
    method, target, _ = start.decode().split()
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    if "expect" in headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "://" in target:  # as a proxy asks
        target = f"/{target.split('/', 3)[3]}"
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def _cgi(root: Path, request: Request) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        "REMOTE_USER": "x-access-token",
        "REMOTE_ADDR": "127.0.0.1",
    }
