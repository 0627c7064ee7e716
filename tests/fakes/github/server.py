"""The fake GitHub as a server: faults, checks against the description, git over HTTP."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.datastructures import Headers

from fakes.github.description import Exchange, describe
from fakes.github.faults import Broken, Fault, broken_answer
from fakes.github.git_http import PATH, answer_git
from fakes.github.operations import OPERATIONS, Answer, Asked, read_body
from fakes.github.world import Installation, Repository, Token, World

FLAVOURS = {"api.github.com": "", "ghes-3.19": "/api/v3"}


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key() -> str:
    """Give the App's private key as GitHub hands it out."""
    pem = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return pem.decode()


def utc_now() -> datetime:
    """Give the real time."""
    return datetime.now(UTC)


class FakeGitHub:
    """One GitHub of a flavour. Build the world, `serve()`, and look at `calls` and the world."""

    def __init__(
        self,
        flavour: str = "api.github.com",
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.world = World()
        self.world.users[f"{self.world.slug}[bot]"] = 900
        self.calls: list[tuple[str, str]] = []
        self.violations: list[str] = []
        self.now = now
        self.web_url = ""
        self._faults: list[Fault] = []
        self._prefix = FLAVOURS[flavour]
        self._description = describe(flavour, self._prefix)

    # --- Building the world --------------------------------------------------------------

    @property
    def api_url(self) -> str:
        return self.web_url + self._prefix

    @property
    def app_id(self) -> str:
        return str(self.world.app_id)

    def add_repository(
        self, full_name: str = "octo/repo", *, folder: Path | None = None, **fields: Any
    ) -> Repository:
        """Make a repository; the App is installed on its account."""
        owner, _, name = full_name.partition("/")
        number = next(self.world.numbers)
        repository = Repository(number, owner, name, folder=folder, **fields)
        self.world.repositories.append(repository)
        if not any(found.account == owner for found in self.world.installations):
            self.install(owner)
        return repository

    def install(self, account: str, **fields: Any) -> Installation:
        """Install the App on an account."""
        installation = Installation(next(self.world.numbers), account, **fields)
        self.world.installations.append(installation)
        return installation

    def add_person(self, login: str = "alice") -> str:
        """Make a person with a token that may do everything; give the token."""
        value = f"ghp_{next(self.world.numbers):036d}"
        permissions = {"metadata": "read", "contents": "write", "pull_requests": "write"}
        expires_at = datetime.max.replace(tzinfo=UTC)
        self.world.users[login] = next(self.world.numbers)
        self.world.tokens[value] = Token(value, login, permissions, expires_at, None)
        return value

    def fail_next(self, kind: str, method: str = ".*", path: str = ".*", **fields: Any) -> Fault:
        """Let the next matching call go wrong (see `Fault`)."""
        fault = Fault(kind, method, path, **fields)
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget every fault that was asked for."""
        self._faults.clear()

    def may_git(self, username: str, password: str, full_name: str, *, write: bool) -> bool:
        """Say whether a token may fetch from or push to a repository over HTTP."""
        token = self.world.tokens.get(password)
        repository = self.world.repository(full_name)
        if username != "x-access-token" or token is None or token.expires_at <= self.now():
            return False
        return repository is not None and token.may(
            "contents", "write" if write else "read", repository
        )

    def made(self, method: str, pattern: str) -> int:
        """Count the calls of a method to paths that match."""
        return sum(m == method and bool(re.search(pattern, path)) for m, path in self.calls)

    # --- Serving it ----------------------------------------------------------------------

    @contextmanager
    def serve(self) -> Iterator["FakeGitHub"]:
        """Serve on a free port of loopback, in a thread of its own; fail on violations."""
        # asyncio turns Nagle off only where the protocol is named: 40 ms for every answer.
        with socket.socket(proto=socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            self.web_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with _running(self, listener):
                yield self
        assert not self.violations, "\n".join(self.violations)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        body = await _read(receive)
        if body is None:
            return
        self.calls.append((scope["method"], path))
        fault = next((f for f in self._faults if f.matches(scope["method"], path)), None)
        if fault is not None:
            fault.hits += 1
        if fault is None or fault.after:
            is_git = PATH.fullmatch(path) is not None
            answer = await self._git(scope, body) if is_git else self._answer(scope, body)
        if fault is None:
            await _send(send, answer)
        elif fault.kind == "hang":
            await receive()  # until the client hangs up
        else:
            reset = int((self.now() + timedelta(minutes=30)).timestamp())
            await _send(send, self._dated(broken_answer(fault, reset)))

    async def _git(self, scope: Any, body: bytes) -> Broken:
        status, content, headers = await answer_git(self, scope, Headers(scope=scope), body)
        return Broken(status, content, headers=headers)

    def _answer(self, scope: Any, body: bytes) -> Broken:
        method, path = scope["method"], self._path(scope["path"])
        query = scope["query_string"].decode()
        found = self._description.find(method, path)
        if found is None:
            self.violations.append(f"{method} {path} is not in the description")
            return Broken(404)
        headers = Headers(scope=scope)
        target = f"{self._prefix}{path}?{query}"
        exchange = Exchange(method.lower(), target, headers, body)
        if problem := self._description.request_violation(exchange):
            self.violations.append(f"request {method} {path}: {problem}")
        template, parameters = found
        asked = Asked(
            world=self.world,
            now=self.now(),
            web_url=self.web_url,
            api_url=self.api_url,
            public_key=_key().public_key(),
            authorization=headers.get("authorization", ""),
            method=method,
            url_path=path,
            query_string=query,
            path={name: unquote(value) for name, value in parameters.items()},
            query=dict(parse_qsl(query)),
            body=read_body(body),
        )
        try:
            answer = OPERATIONS[method, template](asked)
        except Answer as early:
            answer = early
        return self._checked(exchange, template, answer)

    def _checked(self, exchange: Exchange, template: str, answer: Answer) -> Broken:
        """Complete an answer and check it, where its status is in the description at all."""
        given = self._description.complete(exchange.method, template, answer.status, answer.given)
        data = json.dumps(given).encode()
        headers = {"content-type": "application/json; charset=utf-8", **answer.headers}
        answered = replace(exchange, status_code=answer.status, headers=headers, data=data)
        if self._description.describes(exchange.method, template, answer.status) and (
            problem := self._description.answer_violation(answered)
        ):
            self.violations.append(f"answer {exchange.method} {template}: {problem}")
        return self._dated(Broken(answer.status, data, headers=answer.headers))

    def _path(self, path: str) -> str:
        """Give the path below the API's, `/repositories/ID` told by its repository's name."""
        below = path.removeprefix(self._prefix)
        by_id = re.match(r"/repositories/(\d+)", below)
        for repository in self.world.repositories if by_id else ():
            if by_id and str(repository.id) == by_id[1]:
                return below.replace(by_id[0], f"/repos/{repository.full_name}", 1)
        return below

    def _dated(self, answer: Broken) -> Broken:
        headers = {"date": format_datetime(self.now(), usegmt=True), **answer.headers}
        return replace(answer, headers=headers)


async def _read(receive: Any) -> bytes | None:
    """Give a request's body; None where whoever sent it died before all of it was there."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _send(send: Any, answer: Broken) -> None:
    """Send an answer; one with missing bytes ends as a cut connection."""
    headers = {
        "content-type": answer.content_type,
        "content-length": str(len(answer.body) + answer.missing),
        **{name.lower(): value for name, value in answer.headers.items()},
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send(
        {"type": "http.response.body", "body": answer.body, "more_body": bool(answer.missing)}
    )


@contextmanager
def _running(app: Any, listener: socket.socket) -> Iterator[None]:
    """Serve in a thread. uvicorn's own `run` looks every 0.1 s whether to stop: too slow here."""
    loop = asyncio.new_event_loop()
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", date_header=False, ws="none", loop="asyncio"
    )
    server = uvicorn.Server(config)

    async def start() -> None:
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])

    async def stop() -> None:
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
        for _ in range(3):  # a transport closes its socket in the loop's next rounds
            await asyncio.sleep(0)
        loop.stop()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop)
        thread.join(10)
        loop.close()
