"""The npm registry, for reading: what it says of packages, and their archives."""

import re
from collections.abc import AsyncIterable, AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from codebot.gateway.egress.fetch import Fetcher
from codebot.gateway.egress.replies import Change, plain, relay
from codebot.gateway.egress.upstreams import Registry

_NAME = r"(?:@[A-Za-z0-9~._-]{1,100}(?:/|%2[fF]))?[A-Za-z0-9~._-]{1,200}"
_ARCHIVE = re.compile(rf"/{_NAME}/-/(?:@[\w~.-]+/)?[\w~.+-]{{1,250}}\.tgz", re.ASCII)
_DOCUMENT = re.compile(rf"/{_NAME}(?:/[\w.+^~*-]{{1,100}})?", re.ASCII)
_LONGEST_HOST = 300


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
        if not {".", ".."}.isdisjoint(re.split("/|%2[fF]", path)):
            return plain(404, "There is no such package.")
        is_archive = _ARCHIVE.fullmatch(path) is not None
        if not is_archive and not _DOCUMENT.fullmatch(path):
            return plain(404, "Here are only packages and their archives, for reading.")
        is_npm = request.headers.get("user-agent", "").startswith("npm/")
        change = None if is_archive or is_npm else self._with_our_address(registry)
        return await relay(self._fetcher, registry, registry.url + path, request, change=change)

    def _with_our_address(self, registry: Registry) -> Change:
        """Change where archives are, in a document that comes in pieces and may be very long.

        As npm does it: another host, the same path. A match never spans what is held back, and
        quotes inside a JSON string are escaped, so that no text of a package is taken for one.
        """
        ours = self._base_url.encode()
        prefix = re.escape(registry.path.encode())
        theirs = re.compile(
            rb'("tarball"\s{0,8}:\s{0,8}")https?://[^/"\\]{1,%d}(?:%b)?(?=/)'
            % (_LONGEST_HOST, prefix)
        )
        held_back = _LONGEST_HOST + len(prefix) + 50

        async def change(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
            rest = b""
            async for piece in body:
                rest = theirs.sub(rb"\g<1>" + ours, rest + piece)
                ready, rest = rest[:-held_back], rest[-held_back:]
                if ready:
                    yield ready
            yield rest

        return change
