"""`Idempotency-Key`: a request that may be sent again, since it is answered once.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response

from codebot.domain.request_key import Answered, RequestKey
from codebot.errors import FieldProblem, InvalidRequest
from codebot.intake.gate import key_fingerprint
from codebot.store.request_keys import RequestKeys

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replay"
LONGEST_KEY = 255

_A_KEY = re.compile(rf"[ -~]{{1,{LONGEST_KEY}}}")


class Turns:
    """One at a time for each key: who comes second finds what the first was answered."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: RequestKey) -> AbstractAsyncContextManager[None]:
        """Give the turn of a key, to be held while its request is answered."""
        return self._locks.setdefault(key.id, asyncio.Lock())


async def answer_once(
    act: Callable[[RequestKey | None], Awaitable[Answered]],
    tell: Callable[[Answered], Response],
    key: RequestKey | None,
    known: RequestKeys,
    turns: Turns,
) -> Response:
    """Act, unless that was done for this key already, and tell of it; raises what `act` raises.

    A repeated answer says so in a header. Raises `KeyReused`.
    """
    if key is None:
        return tell(await act(None))
    async with turns.of(key):
        answered = await known.find(key) or await act(key)
    response = tell(answered)
    if answered.is_replay:
        response.headers[REPLAYED] = "true"
    return response


def request_key(request: Request, operation: str, body: bytes) -> RequestKey | None:
    """Read the key of a request; None without one. Raises `InvalidRequest` for one that is none.

    It is the caller's own: the same word from somebody with another API key is another key.
    `operation` and `body` are what it is bound to.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    word = given[0].strip(" \t")
    if len(given) > 1 or not _A_KEY.fullmatch(word):
        raise InvalidRequest((FieldProblem(HEADER, _problem(given)),))
    owner = key_fingerprint(request) or ""
    return RequestKey(
        sha256(f"{owner}\0{word}".encode()).hexdigest(),
        sha256(b"%b\0%b" % (operation.encode(), body)).hexdigest(),
    )


def _problem(given: list[str]) -> str:
    if len(given) > 1:
        return "is given more than once"
    return f"must be 1 to {LONGEST_KEY} printable ASCII characters"
