"""The agent's side of the gateway: what of a request counts, and how an answer is written."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from codebot.gateway.upstream import COUNT_TOKENS, MESSAGES, Answer, Call, error_event, refusal

LONGEST_BODY = 32 * 1024 * 1024
"""Bytes of a request: the Messages API's own limit."""

QUERIES = frozenset({"", "beta=true"})
PASSED_ON = frozenset({"accept", "content-type", "user-agent", "x-app"})
PASSED_FAMILIES = ("anthropic-", "x-stainless-", "x-claude-code-")
"""What an upstream may want to know of the client. Everything else stays here: credentials,
cookies, hop-by-hop headers, and whatever else a box thinks of."""


def offered_token(headers: Headers) -> bytes:
    """Give the token of a request, from either header that Anthropic's clients use."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    offered = credential.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    return offered.encode("latin-1")  # as it came: Starlette decodes header values as latin-1


async def read_call(scope: Scope, receive: Receive) -> Call | Answer | None:
    """Give the request if it may pass, else the answer that refuses it.

    None means that the agent went away while it was sending.
    """
    request = Request(scope, receive)
    path, query = request.url.path, request.url.query
    if request.method != "POST" or path not in {MESSAGES, COUNT_TOKENS} or query not in QUERIES:
        message = f"The gateway passes POST {MESSAGES} and {COUNT_TOKENS} only."
        return refusal(404, "not_found_error", message, retry=False)
    try:
        body = await _read_body(request)
    except ClientDisconnect:
        return None
    if body is None:
        message = f"The request is larger than {LONGEST_BODY} bytes."
        return refusal(413, "request_too_large", message, retry=False)
    return Call(path, query, _worth_passing(request.headers), body)


async def _read_body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            return None
    return bytes(body)


def _worth_passing(headers: Headers) -> Mapping[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if (name in PASSED_ON or name.startswith(PASSED_FAMILIES)) and value.isascii()
    }


class Reply:
    """The answer to one request, on its way to the agent."""

    def __init__(self, send: Send) -> None:
        """Write through `send`; nothing is written yet."""
        self._send = send
        self._begun = False
        self._ended = False

    async def begin(self, answer: Answer) -> None:
        """Send the head of the answer."""
        self._begun = True
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in answer.headers.items()]
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )

    async def add(self, piece: bytes) -> None:
        """Send one piece of the body now."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Say that the body is complete."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def write(self, answer: Answer) -> None:
        """Send a whole answer."""
        await self.begin(answer)
        async for piece in answer.body:
            await self.add(piece)
        await self.end()

    async def break_off(self, kind: str, message: str) -> None:
        """End with an error that the client understands, wherever the answer stands."""
        if not self._begun:
            await self.write(refusal(401, kind, message, retry=False))
        elif not self._ended:
            await self.add(error_event(kind, message))
            await self.end()
