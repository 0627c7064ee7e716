"""The Python index, for reading: pages of projects, and the files that these pages name."""

import base64
import binascii
import hashlib
import hmac
import html
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import mousebender.simple
from starlette.requests import Request
from starlette.responses import Response

from codebot.gateway.egress.fetch import Fetcher, Unfetchable
from codebot.gateway.egress.replies import plain, relay, too_long
from codebot.gateway.egress.upstreams import Registry

LARGEST_PAGE = 64 * 1024 * 1024
_PAGE = re.compile(r"/simple/(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?)/?")
_FILE = re.compile(r"/file/(?P<seal>[0-9a-f]{32})/(?P<url>[A-Za-z0-9_-]{1,4000}=*)/[^/]{1,300}")
_METADATA = ".metadata"
"""What a client adds to a file's address to read its metadata alone (PEP 658)."""
_JSON = mousebender.simple.ACCEPT_JSON_V1
_KEPT = ("filename", "hashes", "requires-python", "core-metadata", "dist-info-metadata")
_KEPT_TOO = ("yanked", "size", "upload-time")


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
        """Answer one GET or HEAD; raises `Unfetchable`."""
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
            body = bytearray()
            async for piece in found.aiter_bytes():
                body += piece
                if len(body) > LARGEST_PAGE:
                    return too_long()
            if not found.is_success:
                return plain(found.status_code, f"The index answers {found.status_code}.")
            kind, where = found.headers.get("content-type", "text/html"), str(found.url)
        details = self._sealed(_parse(body.decode(errors="replace"), kind), where)
        if "json" in request.headers.get("accept", "*/*") or "accept" not in request.headers:
            return Response(json.dumps(details), media_type=_JSON)
        return Response(_as_html(details), media_type="text/html")

    async def _file(
        self, registry: Registry, seal: str, encoded: str, path: str, request: Request
    ) -> Response:
        if not hmac.compare_digest(seal, self._seal(encoded)):
            return plain(403, "No index of this service has named that file.")
        url = base64.urlsafe_b64decode(encoded).decode()
        if path.endswith(_METADATA) and not url.endswith(_METADATA):
            url += _METADATA
        return await relay(self._fetcher, registry, url, request)

    def _sealed(self, details: Mapping[str, Any], base: str) -> dict[str, Any]:
        """Let every file of a page be fetched here."""
        files = [self._sealed_file(file, base) for file in details.get("files", ())]
        kept = {key: details[key] for key in ("name", "versions") if key in details}
        return {
            "meta": {"api-version": "1.1" if "versions" in kept else "1.0"},
            **kept,
            "files": files,
        }

    def _sealed_file(self, file: Mapping[str, Any], base: str) -> dict[str, Any]:
        url = urljoin(base, str(file["url"]).partition("#")[0])
        encoded = base64.urlsafe_b64encode(url.encode()).decode()
        kept = {key: file[key] for key in (*_KEPT, *_KEPT_TOO) if key in file}
        here = f"{self._base_url}/file/{self._seal(encoded)}/{encoded}/{file['filename']}"
        return kept | {"url": here}

    def _seal(self, encoded: str) -> str:
        return hmac.new(self._key, encoded.encode(), hashlib.sha256).hexdigest()[:32]


def _parse(body: str, content_type: str) -> Mapping[str, Any]:
    try:
        return mousebender.simple.parse_project_details(body, content_type, "project")
    except (
        ValueError,
        KeyError,
        RecursionError,
        binascii.Error,
        mousebender.simple.UnsupportedAPIVersion,
        mousebender.simple.UnsupportedMIMEType,
    ) as error:
        raise Unfetchable("The index gave a page that is none of an index.") from error


def _as_html(details: Mapping[str, Any]) -> str:
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
