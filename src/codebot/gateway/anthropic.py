"""Anthropic's API, or one that speaks its language: the only place that holds the credential."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import structlog

from codebot.domain.outcome import ModelRefusal
from codebot.domain.secret import Secret
from codebot.errors import ConfigError
from codebot.gateway.refusals import PAYMENT_REQUIRED, SAT_OUT, read_refusal
from codebot.gateway.upstream import Answer, Call, error_event, once, refusal
from codebot.network.causes import why_unreachable
from codebot.network.client import open_client

log = structlog.get_logger(__name__)

TIME_LIMITS = httpx.Timeout(connect=15, read=600, write=60, pool=None)
"""Seconds. A model that thinks sends pings meanwhile; 600 is also the API's own limit for an
answer in one piece."""

LONGEST_ANSWER = 32 * 1024 * 1024
LONGEST_LINE = 1024 * 1024
LONGEST_PAGE = 64 * 1024
LONGEST_WAIT = 10
"""Bytes and seconds that a page of something else is read for, to learn what it means."""
PASSED_BACK = frozenset(
    {"content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry"}
)
RATE_LIMITS = "anthropic-ratelimit-"
HIDDEN = b"***"
REFUSED = frozenset({401, 403})
KINDS_OF_LIMITS = {429: "rate_limit_error", 529: "overloaded_error"}
NEVER_ASKED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""Faults before the question was out: nobody has worked on it, nobody is paid."""


class AnthropicUpstream:
    """Passes calls on with the real credential, which no answer brings back."""

    name = "anthropic"
    costs_money = True

    def __init__(
        self,
        base_url: str,
        *,
        api_key: Secret | None = None,
        auth_token: Secret | None = None,
        certificate_file: Path | None = None,
        proxy: str | None = None,
        limits: httpx.Timeout = TIME_LIMITS,
    ) -> None:
        """Ask the API at `base_url` with the one credential that is given, key before token.

        `certificate_file` holds the authorities to trust instead of the usual ones; `proxy` is the
        HTTP proxy to go through, if any. The environment is not looked at.
        """
        self._base_url = base_url.rstrip("/")
        self._host = httpx.URL(base_url).netloc.decode()
        self._credential, self._secret = _credential(api_key, auth_token)
        self._proxy = proxy
        self._client = open_client(
            certificate_file=certificate_file,
            proxy=proxy,
            timeout=limits,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Answer]:
        """Ask the API; a redirect, a fault or silence becomes an answer that says so."""
        opened = await self._open(call)
        if isinstance(opened, Answer):
            yield opened
            return
        try:
            yield await self._answer(opened)
        finally:
            await opened.aclose()

    async def _open(self, call: Call) -> httpx.Response | Answer:
        url = f"{self._base_url}{call.path}{'?' if call.query else ''}{call.query}"
        headers = {**call.headers, **self._credential, "accept-encoding": "identity"}
        request = self._client.build_request("POST", url, headers=headers, content=call.body)
        try:
            return await self._client.send(request, stream=True)
        except httpx.HTTPError as exc:
            return self._failed(exc)

    async def _answer(self, response: httpx.Response) -> Answer:
        headers = self._headers(response)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream" and response.is_success:
            return Answer(response.status_code, headers, self._lines(response))
        if kind != "application/json" or response.is_redirect:
            return await self._page(response, headers, kind)
        try:
            body = await _read(response)
        except httpx.HTTPError as exc:
            return self._failed(exc)
        if body is None:
            return self._not_the_api(response, "an answer too long")
        advice = _advice(read_refusal(response.status_code, headers, body, datetime.now(UTC)))
        return Answer(response.status_code, {**headers, **advice}, once(self._hide(body)))

    async def _lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Give whole lines as they come: half a line is of no use, and might hide a secret."""
        rest = b""
        try:
            async for chunk in response.aiter_bytes():
                whole, rest = _split(rest + chunk)
                if whole:
                    yield self._hide(whole)
        except httpx.HTTPError as exc:
            log.warning("gateway.stream_broke", host=self._host, error=type(exc).__name__)
            yield error_event("api_error", f"The answer of {self._host} broke off.")
        else:
            yield self._hide(rest)

    def _failed(self, exc: httpx.HTTPError) -> Answer:
        """Say that there is no answer, and why; no text of an error is told, only its kind."""
        paid = not isinstance(exc, NEVER_ASKED)
        why = why_unreachable(exc, self._proxy)
        log.warning(
            "gateway.upstream_failed", host=self._host, error=type(exc).__name__, reason=why
        )
        if isinstance(exc, httpx.TimeoutException):
            message = f"{self._host} did not answer: {why}."
            return refusal(504, "timeout_error", message, retry=True, may_be_paid=paid)
        message = f"{self._host} cannot be reached: {why}."
        return refusal(502, "api_error", message, retry=True, may_be_paid=paid)

    async def _page(
        self, response: httpx.Response, headers: Mapping[str, str], kind: str
    ) -> Answer:
        """Say in the API's own form what a page of whoever stands before it says."""
        status = response.status_code
        said = self._hide(await _beginning(response)) if response.is_error else b""
        refused = read_refusal(status, headers, said, datetime.now(UTC))
        if refused is None:
            return self._not_the_api(response, kind)
        if refused.is_unpaid:
            words = f"{self._host} answered {status}" + (
                f": {refused.said}" if refused.said else ""
            )
            return refusal(PAYMENT_REQUIRED, "billing_error", words, retry=False)
        kind = KINDS_OF_LIMITS.get(status, "api_error")
        answer = refusal(status, kind, f"{self._host} asks for a pause ({status}).", retry=True)
        return replace(answer, headers={**headers, **answer.headers, **_advice(refused)})

    def _not_the_api(self, response: httpx.Response, kind: str) -> Answer:
        """Say that something else answered: a proxy's page, a portal, a moved address."""
        status = response.status_code
        log.warning("gateway.not_the_api", host=self._host, status=status, content_type=kind)
        what = "a redirect" if response.is_redirect else kind or "nothing that says what it is"
        message = f"{self._host} answered {status} with {what}, which the Messages API never does."
        if response.is_error:
            return refusal(status, "api_error", message, retry=response.is_server_error)
        hint = " Check ANTHROPIC_BASE_URL."
        paid = response.is_success
        return refusal(502, "api_error", message + hint, retry=False, may_be_paid=paid)

    def _headers(self, response: httpx.Response) -> Mapping[str, str]:
        """Give what the agent may see, and that a refused credential is not worth a retry.

        Claude Code asks ten times in three minutes when nobody says so.
        """
        final = {"x-should-retry": "false"} if response.status_code in REFUSED else {}
        raw = ((name.decode("latin-1").lower(), value) for name, value in response.headers.raw)
        return final | {
            name: self._hide(value).decode("latin-1")
            for name, value in raw
            if name in PASSED_BACK or name.startswith(RATE_LIMITS)
        }

    def _hide(self, text: bytes) -> bytes:
        """Blot the credential out, should a server echo what it was sent."""
        return text.replace(self._secret, HIDDEN)


def _advice(refused: ModelRefusal | None) -> dict[str, str]:
    """Give the headers by which an agent knows whether to ask again, and when.

    A pause that is too long for it is told as final: its run is postponed instead.
    """
    if refused is None:
        return {}
    if refused.is_unpaid:
        return {"x-should-retry": "false"}
    if refused.pause is None:
        return {}
    final = {"x-should-retry": "false"} if refused.pause > SAT_OUT else {}
    return final | {"retry-after": str(math.ceil(refused.pause.total_seconds()))}


def _credential(api_key: Secret | None, auth_token: Secret | None) -> tuple[dict[str, str], bytes]:
    """Give the header that carries the credential, and its value alone."""
    secret = api_key or auth_token
    if secret is None:
        raise ConfigError(("ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN must be set",))
    value = secret.reveal()
    if not (value.isascii() and value.isprintable() and value.strip()):
        raise ConfigError(("the Anthropic credential holds characters that no credential has",))
    header = {"x-api-key": value} if api_key else {"authorization": f"Bearer {value}"}
    return header, value.encode()


def _split(text: bytes) -> tuple[bytes, bytes]:
    """Part the whole lines from the rest; a line beyond all measure counts as whole."""
    end = text.rfind(b"\n") + 1
    if len(text) - end > LONGEST_LINE:
        end = len(text)
    return text[:end], text[end:]


async def _beginning(response: httpx.Response) -> bytes:
    """Give as much of a page as is read for its words, or came in time."""
    page = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(LONGEST_WAIT):
            async for chunk in response.aiter_bytes():
                page += chunk
                if len(page) > LONGEST_PAGE:
                    break
    return page[:LONGEST_PAGE]


async def _read(response: httpx.Response) -> bytes | None:
    """Give the whole body, or None when it is longer than an answer can be."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            return None
    return bytes(body)
