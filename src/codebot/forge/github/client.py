"""Requests to GitHub: who asks, how often, how long, and what a failed one means.

Promises: a token goes to the configured host alone; every exchange ends in time; reads are
repeated over faults that pass, writes only by those who first look whether they happened.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import structlog

from codebot.domain.effect import Permit
from codebot.domain.secret import Secret
from codebot.errors import ForgeBroken
from codebot.forge.github.answers import broken, read_answer
from codebot.forge.github.gate import RateGate
from codebot.network.causes import why_unreachable

T = TypeVar("T")

log = structlog.get_logger(__name__)

RETRY_DELAYS = (1.0, 2.0, 5.0)
"""Seconds between the attempts of a call that may be repeated."""

EXCHANGE_SECONDS = 60.0
"""One exchange, whole: a server that sends a byte now and then is not waited for."""

_WAY = "Check GITHUB_API_URL, HTTPS_PROXY and SSL_CERT_FILE."
_HOPS = 3
_LIMITED_IN_A_ROW = 3
_KEEPS_METHOD = {httpx.codes.TEMPORARY_REDIRECT, httpx.codes.PERMANENT_REDIRECT}
_HEADERS = {
    "Accept": "application/vnd.github+json",
    # https://docs.github.com/en/rest/about-the-rest-api/api-versions
    "X-GitHub-Api-Version": "2022-11-28",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """Who a request is made as: the limit it counts against, its token, and how to drop that."""

    gate: RateGate
    token: Callable[[], Awaitable[Secret]]
    drop: Callable[[Secret], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `target` is a link, or a path below the API's address without first slash."""

    method: str
    target: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, object] | None = None


class GitHubClient:
    """Asks the API and gives values. Every failure is a `ForgeError`."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        sleep: Callable[[float], Awaitable[None]],
        proxy: str | None = None,
    ) -> None:
        """Ask through `http`; `proxy` is the one that this goes through, to be named."""
        self._http = http
        self._proxy = proxy
        self._sleep = sleep

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, kind: type[T], credential: Credential, **params: str | int) -> T:
        """Give the answer as `kind`; asked again when GitHub stumbles."""
        return await self._insist(Call("GET", path, params), kind, credential)

    async def post(
        self,
        permit: Permit,
        path: str,
        kind: type[T],
        credential: Credential,
        body: Mapping[str, object],
    ) -> T:
        """Send once. After `ForgeBroken` it may or may not have happened: look before sending."""
        del permit
        return await self._ask(Call("POST", path, body=body), kind, credential)

    async def post_repeatable(
        self, path: str, kind: type[T], credential: Credential, body: Mapping[str, object]
    ) -> T:
        """Send a POST that may happen twice without harm, asked again when GitHub stumbles."""
        return await self._insist(Call("POST", path, body=body), kind, credential)

    async def pages(
        self, path: str, kind: type[T], credential: Credential, **params: str | int
    ) -> AsyncIterator[T]:
        """Give page after page, following `Link` to its end.

        https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
        """
        call: Call | None = Call("GET", path, {"per_page": 100, **params})
        while call is not None:
            response, page = await self._insist_on_answer(call, kind, credential)
            yield page
            following = response.links.get("next", {}).get("url")
            call = None if following is None else Call("GET", following)

    async def _insist(self, call: Call, kind: type[T], credential: Credential) -> T:
        return (await self._insist_on_answer(call, kind, credential))[1]

    async def _insist_on_answer(
        self, call: Call, kind: type[T], credential: Credential
    ) -> tuple[httpx.Response, T]:
        """Ask again after faults that pass: 5xx, nonsense, a cut line, no answer in time."""
        for delay in RETRY_DELAYS:
            try:
                response = await self._answer(call, credential)
                return response, read_answer(response, kind)
            except ForgeBroken as error:
                log.warning("github.call_failed", problem=error.detail, next_attempt_in=delay)
                await self._sleep(delay)
        response = await self._answer(call, credential)
        return response, read_answer(response, kind)

    async def _ask(self, call: Call, kind: type[T], credential: Credential) -> T:
        return read_answer(await self._answer(call, credential), kind)

    async def _answer(self, call: Call, credential: Credential) -> httpx.Response:
        """Send with a token; one that is refused is dropped and replaced, once."""
        token = await credential.token()
        response = await self._within_limits(call, credential.gate, token)
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return response
        credential.drop(token)
        return await self._within_limits(call, credential.gate, await credential.token())

    async def _within_limits(self, call: Call, gate: RateGate, token: Secret) -> httpx.Response:
        """Send when the gate is open; "later" means that the call did not happen: send again."""
        for _ in range(_LIMITED_IN_A_ROW):
            await gate.wait()
            response = await self._exchange(call, token)
            if not gate.observe(response):
                return response
        raise gate.limited()

    async def _exchange(self, call: Call, token: Secret) -> httpx.Response:
        """Send, following redirects within the configured host alone.

        A renamed repository answers with a redirect to `/repositories/ID`:
        https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
        """
        request = self._build(call, self._own(self._http.base_url, call.target), token)
        for _ in range(_HOPS):
            response = await self._send(request)
            if not response.has_redirect_location:
                return response
            if call.method != "GET" and response.status_code not in _KEEPS_METHOD:
                break
            target = self._own(response.url, response.headers["location"])
            request = self._build(Call(call.method, call.target, body=call.body), target, token)
        raise broken(request, "redirects without end")

    def _own(self, at: httpx.URL, target: str) -> httpx.URL:
        """Give the address that a path or link means; one of another host gets no token of ours."""
        api = self._http.base_url
        try:
            url = at.join(target)
        except httpx.InvalidURL as error:
            raise ForgeBroken(f"GitHub at {api.host} gave a link that is none.") from error
        if (url.scheme, url.host, url.port) != (api.scheme, api.host, api.port):
            raise ForgeBroken(
                f"GitHub at {api.host} points to another host ({url.host}): not followed.",
                hint="Check GITHUB_API_URL.",
            )
        return url

    def _build(self, call: Call, url: httpx.URL, token: Secret) -> httpx.Request:
        headers = {**_HEADERS, "Authorization": f"Bearer {token.reveal()}"}
        return self._http.build_request(
            call.method, url, params=call.params or None, json=call.body, headers=headers
        )

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read its whole answer, in time."""
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                return await self._http.send(request)
        except (httpx.RequestError, TimeoutError) as error:
            why = why_unreachable(error, self._proxy)
            hint = None if isinstance(error, httpx.ReadError) else _WAY
            raise broken(request, f"cannot be reached: {why}", hint=hint) from error
