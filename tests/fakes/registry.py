"""A Python index and an npm registry on loopback, with one tiny package each."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass, field
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from codebot.gateway.server import LoopbackServer

PROJECT = "tinypkg"
HTML = "text/html"
JSON = "application/vnd.pypi.simple.v1+json"


def make_wheel() -> bytes:
    """Give the smallest wheel that pip installs."""
    info = f"{PROJECT}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: 1.0\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with io.BytesIO() as kept:
        with zipfile.ZipFile(kept, "w") as file:
            file.writestr(f"{PROJECT}.py", "GREETING = 'hello'\n")
            file.writestr(f"{info}/METADATA", metadata)
            file.writestr(f"{info}/WHEEL", wheel)
            file.writestr(f"{info}/RECORD", "")
        return kept.getvalue()


def make_archive() -> bytes:
    """Give the smallest package that npm installs."""
    with io.BytesIO() as kept:
        with tarfile.open(fileobj=kept, mode="w:gz") as file:
            for name, text in {
                "package.json": json.dumps({"name": PROJECT, "version": "1.0.0"}),
                "index.js": "module.exports = 'hello'\n",
            }.items():
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size = len(text)
                file.addfile(entry, io.BytesIO(text.encode()))
        return kept.getvalue()


@dataclass
class FakeRegistry:
    """Answers as both registries would; `asked` is what came in.

    `told` are headers that it gives besides, or in the place of its own.
    """

    kind: str = JSON
    redirect: str = ""
    status: int = 200
    gives_parts: bool = False
    page: str = ""
    told: dict[str, str] = field(default_factory=dict)
    wheel: bytes = field(default_factory=make_wheel)
    archive: bytes = field(default_factory=make_archive)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = LoopbackServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.asked.append((request.method, request.url.path, dict(request.headers)))
        answer = self._answer(request.url.path)
        if self.gives_parts:
            answer.headers["accept-ranges"] = "bytes"
        if self.gives_parts and "range" in request.headers:
            answer = _part_of(answer, request.headers["range"])
        for name, value in self.told.items():
            answer.headers[name] = value
        await answer(scope, receive, send)

    def _answer(self, path: str) -> Response:
        if self.redirect:
            return RedirectResponse(self.redirect)
        if self.status != 200:
            return Response("broken", self.status)
        name = f"{PROJECT}-1.0-py3-none-any.whl"
        if path == f"/simple/{PROJECT}/":
            return self._page(name)
        if path == f"/npm/{PROJECT}":
            return Response(json.dumps(self._document()), media_type="application/json")
        files = {
            f"/files/{name}": self.wheel,
            f"/npm/{PROJECT}/-/{PROJECT}-1.0.0.tgz": self.archive,
        }
        if path in files:
            return Response(files[path], media_type="application/octet-stream")
        return Response("no such page", 404)

    def _page(self, name: str) -> Response:
        if self.page:
            return Response(self.page, media_type=self.kind)
        digest = hashlib.sha256(self.wheel).hexdigest()
        if self.kind == HTML:
            link = f'<a href="../../files/{name}#sha256={digest}">{name}</a>'
            return Response(f"<!DOCTYPE html><html><body>{link}</body></html>", media_type=HTML)
        file = {"filename": name, "url": f"../../files/{name}", "hashes": {"sha256": digest}}
        page = {"meta": {"api-version": "1.0"}, "name": PROJECT, "files": [file]}
        return Response(json.dumps(page), media_type=JSON)

    def _document(self) -> dict[str, Any]:
        digest = base64.b64encode(hashlib.sha512(self.archive).digest()).decode()
        dist = {
            "tarball": f"{self.url}/npm/{PROJECT}/-/{PROJECT}-1.0.0.tgz",
            "integrity": f"sha512-{digest}",
        }
        version = {"name": PROJECT, "version": "1.0.0", "dist": dist}
        return {"name": PROJECT, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}


def _part_of(whole: Response, asked: str) -> Response:
    """Give the bytes that are asked for, as `bytes=10-19` or `bytes=-5`."""
    first, last = asked.removeprefix("bytes=").split("-")
    body = bytes(whole.body)
    begin = int(first) if first else len(body) - int(last)
    end = min(int(last) + 1, len(body)) if first and last else len(body)
    told = {"content-range": f"bytes {begin}-{end - 1}/{len(body)}"}
    return Response(body[begin:end], 206, told, media_type="application/octet-stream")
