"""GET requests to a registry, by the service, for a box: nothing of the box's own goes along."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from codebot.gateway.addresses import Network, may_be_dialled
from codebot.gateway.registries.checked_network import CheckedNetwork
from codebot.gateway.registries.upstreams import Registry
from codebot.network.causes import why_unreachable
from codebot.network.client import open_client, trust_in

TIMEOUT = httpx.Timeout(60, connect=15)
NO_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Every box has its own limit: one that reads slowly must not use up what others need."""
MOST_REDIRECTS = 4
USER_AGENT = "codebot"
AS_THEY_CAME = "latin-1"
"""Headers are bytes, which this keeps: what httpx guesses them to be cannot always be sent on."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Unfetchable(Exception):
    """The registry did not give what was asked for; the text says why, for the box."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Which servers the service connects to for boxes.

    Whoever set the machine up chose pip's and npm's registry (`trust`): these may be anywhere.
    Others have public addresses, or one in `private` networks, or they are where a chosen one is:
    a company's mirror answers to several names.
    """

    resolve: Resolve
    private: tuple[Network, ...] = ()
    _trusted: set[tuple[str, int]] = field(default_factory=set)

    def trust(self, registries: Iterable[Registry]) -> None:
        """Note the registries that this machine is set up to use."""
        self._trusted.update((one.host, one.port) for one in registries)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses of a host, all of which may be dialled; raises `Unfetchable`."""
        found = await self.resolve(host, port)
        if not found:
            raise Unfetchable(f"{host} is not known here: it has no address.")
        if (host, port) in self._trusted or all(may_be_dialled(one, self.private) for one in found):
            return found
        if await self._is_beside_trusted(found):
            return found
        raise Unfetchable(
            f"{host} is not public, and none of its addresses is in CODEBOT_EGRESS_PRIVATE."
        )

    async def _is_beside_trusted(self, addresses: Sequence[str]) -> bool:
        known = {address for one in self._trusted for address in await self.resolve(*one)}
        return all(one in known and may_be_dialled(one, (one,)) for one in addresses)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Asks registries; follows where they point, but never into the company's own network."""

    proxy_of: Callable[[str], str | None]
    gate: Gate
    certificate_file: Path | None = None
    _clients: dict[str | None, httpx.AsyncClient] = field(default_factory=dict)

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    @asynccontextmanager
    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        registry: Registry | None = None,
        method: str = "GET",
        stays: Callable[[str], bool] = lambda _: False,
    ) -> AsyncIterator[httpx.Response]:
        """Give the answer, with its body still to be read; raises `Unfetchable`.

        A redirect is followed, unless it is to an address that `stays` the client's to follow.
        """
        try:
            for _ in range(MOST_REDIRECTS + 1):
                known = _credentials(registry, url)
                client = self._client(self.proxy_of(url))
                async with client.stream(method, url, headers={**headers, **known}) as response:
                    if response.has_redirect_location:
                        url = _joined(url, response.headers["location"])
                    if not response.has_redirect_location or stays(url):
                        response.headers.encoding = AS_THEY_CAME
                        yield response
                        return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            host = urlsplit(url).hostname or "?"
            why = why_unreachable(error, self.proxy_of(url))
            raise Unfetchable(f"{host} cannot be reached: {why}.") from error
        raise Unfetchable("The registry redirects in circles.")

    def _client(self, proxy: str | None) -> httpx.AsyncClient:
        """Give the client that goes through this proxy: connections are kept for the next box."""
        if proxy not in self._clients:
            self._clients[proxy] = open_client(
                certificate_file=self.certificate_file,
                proxy=proxy,
                transport=None if proxy else self._checked_transport(),
                timeout=TIMEOUT,
                limits=NO_LIMITS,
                headers={"User-Agent": USER_AGENT},
            )
        return self._clients[proxy]

    def _checked_transport(self) -> httpx.AsyncHTTPTransport:
        """Give one that dials what the gate lets through; a proxy decides by itself."""
        trust = trust_in(self.certificate_file)
        transport = httpx.AsyncHTTPTransport(verify=trust)
        transport._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001 - no other way in
            ssl_context=trust,
            max_connections=None,
            max_keepalive_connections=NO_LIMITS.max_keepalive_connections,
            keepalive_expiry=NO_LIMITS.keepalive_expiry,
            network_backend=CheckedNetwork(self.gate.addresses),
        )
        return transport


def _joined(base: str, reference: str) -> str:
    """Give where a redirect leads from an address; raises `Unfetchable` when it may not.

    It may lead to the same server, and by https to another one.
    """
    try:
        url = urljoin(base, reference)
        parts = urlsplit(url)
        home, _ = urlsplit(base), parts.port  # raises for what is no port
    except ValueError:
        raise Unfetchable("The registry points to what is no address.") from None
    if (parts.scheme, parts.netloc) == (home.scheme, home.netloc):
        return url
    if parts.scheme != "https" or not parts.hostname or parts.username:
        raise Unfetchable(f"The registry points to {parts.scheme}://{parts.hostname}.")
    return url


def _credentials(registry: Registry | None, url: str) -> dict[str, str]:
    """Give the mirror's credentials to the mirror, and to nobody that it points to."""
    known = None if registry is None else registry.credentials
    if registry is None or known is None or urlsplit(url).netloc != urlsplit(registry.url).netloc:
        return {}
    encoded = base64.b64encode(":".join(known).encode()).decode()
    return {"Authorization": f"Basic {encoded}"}
