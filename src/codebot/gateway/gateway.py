"""The model gateway: the agent's only way to the model, with a token that is worth nothing else.

A run is admitted with a token of its own and our address; the real credential stays with the
upstream. What passes is metered; a run that is dismissed is cut off at once.
"""

import secrets
import time
from dataclasses import dataclass, field

import anyio
import structlog
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from codebot.domain.outcome import Usage
from codebot.domain.ports import GatewayAccess
from codebot.domain.run import RunId
from codebot.domain.secret import Secret
from codebot.gateway.incoming import Reply, offered_token, read_call
from codebot.gateway.metering import AnswerReader, Metered, Turn
from codebot.gateway.server import LoopbackServer
from codebot.gateway.upstream import Answer, Call, Upstream, refusal
from codebot.telemetry.redaction import Redactor

log = structlog.get_logger(__name__)

TOKEN_BYTES = 32
NO_ACCESS = ("authentication_error", "This token opens nothing here, or no longer does.")


@dataclass(slots=True, eq=False)
class _Guest:
    """One admitted run: its token, what it has used, and its calls under way."""

    run_id: RunId
    token: Secret
    metered: Metered = field(default_factory=Metered)
    calls: set[anyio.CancelScope] = field(default_factory=set)


class Gateway:
    """Passes the calls of admitted runs on to the upstream; everything else is refused."""

    def __init__(self, upstream: Upstream, *, redactor: Redactor) -> None:
        """Answer with `upstream`; every token given out is made known to `redactor`."""
        self._upstream = upstream
        self._redactor = redactor
        self._guests: list[_Guest] = []
        self._server = LoopbackServer(self._serve)

    async def start(self) -> None:
        """Listen on a free port of the loopback address."""
        await self._server.start()

    async def close(self) -> None:
        """Cut every call, stop listening, and let go of the upstream."""
        for guest in list(self._guests):
            self._show_out(guest)
        await self._server.close()
        await self._upstream.close()

    def admit(self, run_id: RunId) -> GatewayAccess:
        """Give a run its own way to the model, until `dismiss`."""
        guest = _Guest(run_id, Secret(secrets.token_urlsafe(TOKEN_BYTES)))
        self._redactor.add(guest.token)
        self._guests.append(guest)
        return GatewayAccess(self._server.url, guest.token)

    def dismiss(self, access: GatewayAccess) -> Metered:
        """Make the token worthless now, cut the run's calls, and say what it used in all.

        Once dismissed, a run is forgotten: doing it again gives zero.
        """
        guest = self._find(access.token.reveal().encode())
        if guest is None:
            return Metered()
        self._show_out(guest)
        return guest.metered

    def metered(self, access: GatewayAccess) -> Metered:
        """Say what the run has used so far; zero for a run that is not admitted."""
        guest = self._find(access.token.reveal().encode())
        return Metered() if guest is None else guest.metered

    def usage(self, access: GatewayAccess) -> Usage:
        """Say how many turns, tokens and dollars the run has used so far."""
        return self.metered(access).usage

    def _show_out(self, guest: _Guest) -> None:
        self._guests.remove(guest)
        for call in guest.calls:
            call.cancel()
        self._redactor.remove(guest.token)

    def _find(self, token: bytes) -> _Guest | None:
        """Look at every guest, each in constant time: the answer's delay tells nothing."""
        found = None
        for guest in self._guests:
            if secrets.compare_digest(guest.token.reveal().encode(), token):
                found = guest
        return found

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (an ASGI application)."""
        reply = Reply(send)
        guest = self._find(offered_token(Headers(scope=scope)))
        if guest is None:
            await reply.write(refusal(401, *NO_ACCESS, retry=False))
            return
        match await read_call(scope, receive):
            case Answer() as refused:
                await reply.write(refused)
            case Call() as call if guest in self._guests:  # not dismissed while it was sending
                await self._attend(guest, call, receive, reply)
            case Call():
                await reply.break_off(*NO_ACCESS)

    async def _attend(self, guest: _Guest, call: Call, receive: Receive, reply: Reply) -> None:
        """Relay one call until it ends, the agent goes away, or the run is dismissed."""
        async with anyio.create_task_group() as group:
            guest.calls.add(group.cancel_scope)
            group.start_soon(_wait_for_goodbye, receive, group.cancel_scope)
            try:
                await self._relay(guest, call, reply)
            finally:
                guest.calls.discard(group.cancel_scope)
                group.cancel_scope.cancel()
        await reply.break_off(*NO_ACCESS)

    async def _relay(self, guest: _Guest, call: Call, reply: Reply) -> None:
        reader = AnswerReader()
        asked = time.monotonic()
        async with self._upstream.send(call) as answer:
            waited = time.monotonic() - asked
            await reply.begin(answer)
            try:
                async for piece in answer.body:
                    reader.read(piece)
                    await reply.add(piece)
                await reply.end()
            finally:
                self._record(guest, reader, answer.status, waited)

    def _record(self, guest: _Guest, reader: AnswerReader, status: int, waited: float) -> None:
        usage, priced = reader.usage(costs_money=self._upstream.costs_money)
        status = 502 if reader.broken else status
        guest.metered = guest.metered.plus(Turn(status, waited, reader.model, usage, priced))
        log.info(
            "gateway.answered",
            run_id=guest.run_id,
            status=status,
            model=reader.model,
            waited=round(waited, 3),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )


async def _wait_for_goodbye(receive: Receive, call: anyio.CancelScope) -> None:
    """End the call when the agent closes its connection: nobody reads the answer any more."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.cancel()
