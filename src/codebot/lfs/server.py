"""One server of large files, spoken to by the batch API; each failure comes in words.

The credential of the forge goes to the forge. Where its answer sends us on to another host, only
the headers go that it gave for the purpose; where it redirects, nobody follows.
"""

import base64
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from codebot.domain.outcome import LargeObject
from codebot.domain.repository import RemoteAccess
from codebot.lfs.batch import (
    LONGEST_WORDS,
    MEDIA_TYPE,
    MOST_AT_ONCE,
    Action,
    Answered,
    Batch,
    Told,
    question,
)
from codebot.lfs.objects import read_file
from codebot.network.causes import why_unreachable
from codebot.network.client import open_client
from codebot.network.pace import paced

TIMEOUT = httpx.Timeout(60, connect=15)
SOON = timedelta(seconds=30)
LONGEST_ANSWER = 8 * 1024 * 1024

_SECONDS = re.compile(r"[0-9]{1,5}")
_UNSPEAKABLE = (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError)
_LATER = frozenset({408, 429, 500, 502, 503, 504})
_DONE = frozenset({200, 201, 202, 204})
_OURS_TO_SAY = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class ServerFailed(Exception):
    """What a server of large files did not do, in words; `status` is 0 without an answer.

    `retry_after` is None for what will be the same in a minute.
    """

    def __init__(self, words: str, status: int = 0, retry_after: timedelta | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Server:
    """The large files of one repository; `async with` closes the connections."""

    access: RemoteAccess
    proxy_of: Callable[[str], str | None]
    certificate_file: Path | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _clients: dict[str | None, httpx.AsyncClient] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        """Give the server itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._stack.aclose()

    async def ask(self, operation: str, objects: Sequence[LargeObject]) -> list[Answered]:
        """Ask what is to be done about some objects; raises `ServerFailed`."""
        answered: list[Answered] = []
        for start in range(0, len(objects), MOST_AT_ONCE):
            some = objects[start : start + MOST_AT_ONCE]
            told = await self._post(
                f"{self.access.url}/info/lfs/objects/batch",
                question(operation, some),
                _credential(self.access),
            )
            try:
                batch = Batch.model_validate_json(told)
            except ValidationError:
                raise ServerFailed("its answer about large files makes no sense") from None
            if batch.transfer != "basic":
                raise ServerFailed("it hands large files out in a way that is not known here")
            answered += batch.objects
        return answered

    async def get(self, action: Action) -> AsyncGenerator[bytes, None]:
        """Give the content of an object, some of it at a time; raises `ServerFailed`."""
        async with self._send("GET", action.href, headers_for(action, self.access)) as response:
            async for chunk in paced(response.aiter_raw()):
                yield chunk

    async def put(self, action: Action, one: LargeObject, path: Path) -> None:
        """Send the content of an object; raises `ServerFailed`."""
        headers = {"Content-Type": "application/octet-stream", **headers_for(action, self.access)}
        headers["Content-Length"] = str(one.size)
        async with self._send("PUT", action.href, headers, read_file(path)):
            pass

    async def verify(self, action: Action, one: LargeObject) -> None:
        """Ask whether an object that was sent is there; raises `ServerFailed`."""
        about = {"oid": one.oid, "size": one.size}
        await self._post(action.href, about, headers_for(action, self.access))

    async def _post(self, url: str, body: object, headers: Mapping[str, str]) -> bytes:
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, **headers}
        async with self._send("POST", url, headers, json=body) as response:
            return await _read(response)

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: AsyncIterator[bytes] | None = None,
        json: object = None,
    ) -> AsyncIterator[httpx.Response]:
        """Give the answer of a success, with its body still to be read."""
        host, proxy = self._require_speakable(url), self.proxy_of(url)
        try:
            async with self._client(proxy).stream(
                method, url, headers=headers, content=content, json=json
            ) as response:
                if response.status_code not in _DONE:
                    raise _failure(host, response, await _read(response))
                yield response
        except _UNSPEAKABLE as error:
            raise ServerFailed("it names an address or a header that cannot be sent") from error
        except httpx.HTTPError as error:
            why = why_unreachable(error, proxy)
            raise ServerFailed(f"{host} cannot be reached: {why}", retry_after=SOON) from error

    def _client(self, proxy: str | None) -> httpx.AsyncClient:
        if proxy not in self._clients:
            client = open_client(
                certificate_file=self.certificate_file,
                proxy=proxy,
                timeout=TIMEOUT,
                headers={"User-Agent": "codebot", "Accept-Encoding": "identity"},
            )
            self._stack.push_async_callback(client.aclose)
            self._clients[proxy] = client
        return self._clients[proxy]

    def _require_speakable(self, url: str) -> str:
        """Give the host of an address that may be spoken to: TLS, or as the forge itself."""
        try:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
        except ValueError:
            parts, host = urlsplit(""), ""
        if not host or (parts.scheme != "https" and _origin(url) != _origin(self.access.url)):
            raise ServerFailed("it points to an address that is not spoken to")
        return host


def headers_for(action: Action, access: RemoteAccess) -> dict[str, str]:
    """Give the headers that the forge named, and its credential where it points to itself."""
    given = {
        name: value
        for name, value in (action.header or {}).items()
        if name.lower() not in _OURS_TO_SAY
    }
    is_theirs = any(name.lower() == "authorization" for name in given)
    if is_theirs or _origin(action.href) != _origin(access.url):
        return given
    return _credential(access) | given


def _credential(access: RemoteAccess) -> dict[str, str]:
    if access.token is None:
        return {}
    pair = f"{access.username}:{access.token.reveal()}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


async def _read(response: httpx.Response) -> bytes:
    content = b""
    async for chunk in paced(response.aiter_bytes()):
        content += chunk
        if len(content) > LONGEST_ANSWER:
            raise ServerFailed("its answer about large files is too long")
    return content


def _failure(host: str, response: httpx.Response, body: bytes) -> ServerFailed:
    try:
        said = Told.model_validate_json(body).message[:LONGEST_WORDS]
    except ValidationError:
        said = ""
    status = response.status_code
    words = f"{host} answered {status}" + (f": {said}" if said else "")
    return ServerFailed(words, status, _pause(response) if status in _LATER else None)


def _pause(response: httpx.Response) -> timedelta:
    told = response.headers.get("retry-after", "")
    return timedelta(seconds=int(told)) if _SECONDS.fullmatch(told) else SOON
