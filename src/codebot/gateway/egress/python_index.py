"""The Python index, for reading: pages of projects, and the files that these pages name."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import html
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import mousebender.simple
from starlette.requests import Request
from starlette.responses import Response

from codebot.gateway.egress.dial import HTTP
from codebot.gateway.egress.fetch import Fetcher, Unfetchable
from codebot.gateway.egress.policy import NotLetOut
from codebot.gateway.egress.replies import bounded, plain, relay, whole
from codebot.gateway.egress.upstreams import Registry

LARGEST_PAGE = 32 * 1024 * 1024
_PAGE = re.compile(r"/simple/(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?)/?")
_FILE = re.compile(r"/file/(?P<seal>[0-9a-f]{32})/(?P<url>[A-Za-z0-9_-]{1,4000}=*)/[^/]{1,300}")
_METADATA = ".metadata"
"""What a client adds to a file's address to read its metadata alone (PEP 658)."""
_JSON = mousebender.simple.ACCEPT_JSON_V1
_KEPT = ("filename", "hashes", "requires-python", "core-metadata", "dist-info-metadata")
_KEPT_TOO = ("yanked", "size", "upload-time")
_NO_PAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error),
    *(mousebender.simple.UnsupportedAPIVersion, mousebender.simple.UnsupportedMIMEType),
)
"""How a page shows that it is none: mousebender takes the shape of a JSON page on trust."""


class PythonIndex:
    """Answers requests of pip and its like; `base_url` is how boxes call us.

    Only addresses that an answer of the index named can be fetched: each is sealed with a key of
    this process, so that nothing has to be remembered.
    """

    def __init__(self, fetcher: Fetcher, base_url: str) -> None:
        self._fetcher = fetcher
        self._base_url = base_url
        self._key = secrets.token_bytes(32)

    async def answer(self, registry: Registry, request: Request) -> Response:
        """Answer one GET or HEAD; raises `Unfetchable`, and `NotLetOut` for a forged address."""
        path = request.scope["raw_path"].decode("latin-1")
        if page := _PAGE.fullmatch(path):
            return await self._page(registry, page["name"], request)
        if file := _FILE.fullmatch(path):
            return await self._file(registry, file["seal"], file["url"], path, request)
        return plain(404, "Here are only /simple/PROJECT/ and the files that it names.")

    async def _page(self, registry: Registry, name: str, request: Request) -> Response:
        url = f"{registry.url}/{name}/"
        accept = {"accept": mousebender.simple.ACCEPT_SUPPORTED}
        async with self._fetcher.get(registry, url, accept) as found:
            if not found.is_success:
                return plain(found.status_code, f"The index answers {found.status_code}.")
            body = bytearray()
            async for piece in bounded(found.aiter_bytes(), LARGEST_PAGE):
                body += piece
            kind, where = found.headers.get("content-type", "text/html"), str(found.url)
        accepted = request.headers.get("accept", "*/*")
        form = _FORMS["json" if "json" in accepted or accepted == "*/*" else "html"]
        page = await asyncio.to_thread(self._changed, bytes(body), kind, where, form.write)
        return whole(page, form.media_type)

    async def _file(
        self, registry: Registry, seal: str, encoded: str, path: str, request: Request
    ) -> Response:
        if not hmac.compare_digest(seal, self._seal(encoded)):
            host = urlsplit(self._base_url).hostname or "?"
            raise NotLetOut("no index has named that file", host, HTTP)
        url = base64.urlsafe_b64decode(encoded).decode()
        if path.endswith(_METADATA) and not url.endswith(_METADATA):
            url += _METADATA
        return await relay(self._fetcher, registry, url, request)

    def _changed(self, body: bytes, kind: str, where: str, write: "_Write") -> bytes:
        """Give a page of the index with our addresses in it; for a thread, as it may be long."""
        try:
            text = body.decode(errors="replace")
            details = mousebender.simple.parse_project_details(text, kind, "project")
            files = [self._sealed_file(file, where) for file in details.get("files", ())]
            return write(_kept(details) | {"files": files}).encode()
        except _NO_PAGE as error:
            raise Unfetchable("The index gave a page that is none of an index.") from error

    def _sealed_file(self, file: Mapping[str, Any], base: str) -> dict[str, Any]:
        parts = urlsplit(urljoin(base, str(file["url"])))
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
        encoded = base64.urlsafe_b64encode(bare.geturl().encode()).decode()
        name = quote(str(file["filename"]), safe="+!")
        kept = {key: file[key] for key in (*_KEPT, *_KEPT_TOO) if key in file}
        here = f"{self._base_url}/file/{self._seal(encoded)}/{encoded}/{name}"
        return kept | {"url": here}

    def _seal(self, encoded: str) -> str:
        return hmac.new(self._key, encoded.encode(), hashlib.sha256).hexdigest()[:32]


def _kept(details: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is passed on of a page besides its files."""
    kept = {key: details[key] for key in ("name", "versions") if key in details}
    return {"meta": {"api-version": "1.1" if "versions" in kept else "1.0"}, **kept}


def _as_html(details: dict[str, Any]) -> str:
    """Write a page for clients that know no JSON (pip before 22.2)."""
    lines = ["<!DOCTYPE html><html><body>"]
    for file in details["files"]:
        hashed = next((f"#{name}={value}" for name, value in file["hashes"].items()), "")
        needs = file.get("requires-python") or ""
        needed = f' data-requires-python="{html.escape(needs)}"' if needs else ""
        yanked = ' data-yanked=""' if file.get("yanked") else ""
        href = html.escape(file["url"] + hashed)
        lines.append(f'<a href="{href}"{needed}{yanked}>{html.escape(file["filename"])}</a><br>')
    return "\n".join([*lines, "</body></html>"])


_Write = Callable[[dict[str, Any]], str]


@dataclass(frozen=True, slots=True)
class _Form:
    """One of the two ways to write a page."""

    media_type: str
    write: _Write


_FORMS = {"json": _Form(_JSON, json.dumps), "html": _Form("text/html", _as_html)}
