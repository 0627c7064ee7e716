"""GET requests to a registry, by the service, for a box: nothing of the box's own goes along."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from codebot.gateway.egress.policy import HTTPS, is_public
from codebot.gateway.egress.upstreams import Registry
from codebot.network.causes import why_unreachable
from codebot.network.client import open_client

TIMEOUT = httpx.Timeout(60, connect=15)
NO_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Every box has its own limit: one that reads slowly must not use up what others need."""
MOST_REDIRECTS = 4
USER_AGENT = "codebot"
PASSED_ON = ("accept", "if-none-match", "if-modified-since", "range")


class Unfetchable(Exception):
    """The registry did not give what was asked for; the text says why, for the box."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Asks registries; follows where they point, but never into the company's own network.

    The registry itself may be there: whoever set the machine up chose it.
    """

    proxy_of: Callable[[str], str | None]
    resolve: Callable[[str, int], Awaitable[Sequence[str]]]
    certificate_file: Path | None = None
    _clients: dict[str | None, httpx.AsyncClient] = field(default_factory=dict)

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    @asynccontextmanager
    async def get(
        self, registry: Registry, url: str, headers: Mapping[str, str], *, method: str = "GET"
    ) -> AsyncIterator[httpx.Response]:
        """Give the answer, with its body still to be read; raises `Unfetchable`."""
        passed = {name: headers[name] for name in PASSED_ON if name in headers}
        try:
            for _ in range(MOST_REDIRECTS + 1):
                await self._check(registry, url)
                client = self._client(self.proxy_of(url))
                known = _credentials(registry, url)
                async with client.stream(method, url, headers=passed | known) as response:
                    if not response.has_redirect_location:
                        yield response
                        return
                    url = _joined(url, response.headers["location"])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            host = urlsplit(url).hostname or registry.host
            why = why_unreachable(error, self.proxy_of(url))
            raise Unfetchable(f"{host} cannot be reached: {why}.") from error
        raise Unfetchable("The registry redirects in circles.")

    def _client(self, proxy: str | None) -> httpx.AsyncClient:
        """Give the client that goes through this proxy: connections are kept for the next box."""
        if proxy not in self._clients:
            self._clients[proxy] = open_client(
                certificate_file=self.certificate_file,
                proxy=proxy,
                timeout=TIMEOUT,
                limits=NO_LIMITS,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            )
        return self._clients[proxy]

    async def _check(self, registry: Registry, url: str) -> None:
        parts = urlsplit(url)
        home = urlsplit(registry.url)
        if (parts.scheme, parts.netloc) == (home.scheme, home.netloc):
            return
        if parts.scheme != "https" or not parts.hostname or parts.username:
            raise Unfetchable(f"The registry points to {parts.scheme}://{parts.hostname}.")
        if self.proxy_of(url) is not None:
            return  # the proxy resolves the name, and decides
        addresses = await self.resolve(parts.hostname, parts.port or HTTPS)
        if not addresses or not all(map(is_public, addresses)):
            raise Unfetchable(f"The registry points to {parts.hostname}, which is not public.")


def _joined(base: str, reference: str) -> str:
    """Give where a reference leads from an address; raises `Unfetchable` when nowhere."""
    try:
        url = urljoin(base, reference)
        _ = urlsplit(url).port  # raises for what is no port
    except ValueError:
        raise Unfetchable("The registry points to what is no address.") from None
    return url


def _credentials(registry: Registry, url: str) -> dict[str, str]:
    """Give the mirror's credentials to the mirror, and to nobody that it points to."""
    known = registry.credentials
    if known is None or urlsplit(url).netloc != urlsplit(registry.url).netloc:
        return {}
    encoded = base64.b64encode(":".join(known).encode()).decode()
    return {"Authorization": f"Basic {encoded}"}
