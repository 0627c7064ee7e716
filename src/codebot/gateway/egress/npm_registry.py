"""The npm registry, for reading: what it says of packages, and their archives."""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from codebot.gateway.egress.fetch import Fetcher, Unfetchable
from codebot.gateway.egress.replies import plain, relay, too_long
from codebot.gateway.egress.upstreams import Registry

LARGEST_DOCUMENT = 128 * 1024 * 1024
_NAME = r"(?:@[A-Za-z0-9~._-]{1,100}(?:/|%2[fF]))?[A-Za-z0-9~._-]{1,200}"
_ARCHIVE = re.compile(rf"/{_NAME}/-/(?:@[\w~.-]+/)?[\w~.+-]{{1,250}}\.tgz")
_DOCUMENT = re.compile(rf"/{_NAME}(?:/[\w.+^~*-]{{1,100}})?")


class NpmRegistry:
    """Answers requests of npm and its like; `base_url` is how boxes call us.

    npm itself puts our address in the place of the registry's when it fetches
    (`replace-registry-host`), so that the lock files it writes keep the registry's own. Others do
    not: for them the addresses of archives are changed in what the registry says.
    """

    def __init__(self, fetcher: Fetcher, base_url: str) -> None:
        self._fetcher = fetcher
        self._base_url = base_url

    async def answer(self, registry: Registry, request: Request) -> Response:
        """Answer one GET or HEAD; raises `Unfetchable`."""
        path = request.scope["raw_path"].decode("latin-1")
        if registry.path and path.startswith(f"{registry.path}/"):  # npm keeps the path it saw
            path = path.removeprefix(registry.path)
        if ".." in path.split("/"):
            return plain(404, "There is no such package.")
        if _ARCHIVE.fullmatch(path):
            return await relay(self._fetcher, registry, registry.url + path, request)
        if not _DOCUMENT.fullmatch(path):
            return plain(404, "Here are only packages and their archives, for reading.")
        if request.headers.get("user-agent", "").startswith("npm/"):
            return await relay(self._fetcher, registry, registry.url + path, request)
        return await self._changed(registry, registry.url + path, request)

    async def _changed(self, registry: Registry, url: str, request: Request) -> Response:
        async with self._fetcher.get(registry, url, request.headers) as found:
            body = bytearray()
            async for piece in found.aiter_bytes():
                body += piece
                if len(body) > LARGEST_DOCUMENT:
                    return too_long()
            status, kind = found.status_code, found.headers.get("content-type", "")
        if status == 200:  # noqa: PLR2004 - HTTP
            try:
                document = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise Unfetchable("The registry gave what is no JSON.") from error
            body = bytearray(json.dumps(self._with_our_address(document, registry)).encode())
        return Response(bytes(body), status, media_type=kind or "application/json")

    def _with_our_address(self, document: Any, registry: Registry) -> Any:  # noqa: ANN401 - JSON
        if not isinstance(document, dict):
            return document
        versions = document.get("versions")
        several = versions.values() if isinstance(versions, dict) else ()
        for version in (document, *several):
            dist = version.get("dist") if isinstance(version, Mapping) else None
            if isinstance(dist, dict) and isinstance(dist.get("tarball"), str):
                dist["tarball"] = dist["tarball"].replace(registry.url, self._base_url, 1)
        return document
