"""What the gateway asks of whoever answers for the model, and the words for a refusal."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an agent that passed every check of the gateway.

    `headers` are the few worth passing on, names in lower case; no credential is among them.
    """

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the agent: an event stream line by line, anything else in one piece.

    The body never raises: a stream that breaks ends with an `error` event. `may_be_paid` says of
    an error that the model may have worked all the same, and somebody pays for it.
    """

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]
    may_be_paid: bool = False


class Upstream(Protocol):
    """Who answers for the model: Anthropic's API, a compatible one, or a script."""

    name: str
    costs_money: bool

    def send(self, call: Call) -> AbstractAsyncContextManager[Answer]:
        """Ask, and give the answer while the context lasts; failures are answers too."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


def error_body(kind: str, message: str) -> bytes:
    """Give the JSON in which the Messages API tells an error.

    https://docs.anthropic.com/en/api/errors

    >>> error_body("not_found_error", "No such path.")
    b'{"type": "error", "error": {"type": "not_found_error", "message": "No such path."}}'
    """
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def error_event(kind: str, message: str) -> bytes:
    """Give the server-sent event that tells an error in the middle of a stream.

    The empty line before it ends whatever event the stream broke off in.
    """
    return b"\nevent: error\ndata: " + error_body(kind, message) + b"\n\n"


def refusal(
    status: int, kind: str, message: str, *, retry: bool, may_be_paid: bool = False
) -> Answer:
    """Give an answer that tells an error; `retry` is what Anthropic's clients go by."""
    headers = {"content-type": "application/json", "x-should-retry": str(retry).lower()}
    return Answer(status, headers, once(error_body(kind, message)), may_be_paid)


async def once(body: bytes) -> AsyncIterator[bytes]:
    """Give a body that is there already as the one piece of a stream."""
    yield body


class NoUpstream:
    """Stands where no credential is configured: every call is refused, as the API would do.

    The service starts all the same: an agent that asks no model needs none.
    """

    name = "none"
    costs_money = False

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Answer]:
        """Say what is missing."""
        del call
        missing = "The service has no credential for a model: set ANTHROPIC_API_KEY."
        yield refusal(401, "authentication_error", missing, retry=False)

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""
