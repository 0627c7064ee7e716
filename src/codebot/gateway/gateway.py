"""The model gateway: the agent's only way to the model, with a token that is worth nothing else.

A run is admitted with a token of its own and our address; the real credential stays with the
upstream. What passes is metered and kept within the task's caps; a run that is dismissed is cut
off at once.
"""

import secrets
from dataclasses import dataclass, field

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from codebot.domain.box import MODEL_URL
from codebot.domain.budget import Cap, Caps
from codebot.domain.outcome import Usage
from codebot.domain.ports import GatewayAccess
from codebot.domain.run import RunId
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.gateway.account import Account
from codebot.gateway.guest import Guest, Tell, tell_nobody
from codebot.gateway.incoming import Reply, offered_token, read_call
from codebot.gateway.metering import Metered
from codebot.gateway.pace import MOST_AT_ONCE
from codebot.gateway.relay import Relay
from codebot.gateway.server import LoopbackServer
from codebot.gateway.upstream import Answer, Upstream, refusal
from codebot.telemetry.redaction import Redactor

TOKEN_BYTES = 32
NO_ACCESS = ("authentication_error", "This token opens nothing here, or no longer does.")
TOO_FAST = ("rate_limit_error", "These are more calls at once, or in a minute, than may be.")


@dataclass(frozen=True, slots=True)
class Stay:
    """What a run used from its admission to its end, and the cap that stopped it, if one did."""

    metered: Metered = field(default_factory=Metered)
    stopped_by: Cap | None = None


class Gateway:
    """Passes the calls of admitted runs on to the upstream; everything else is refused."""

    def __init__(self, upstream: Upstream, *, redactor: Redactor, boxed: bool = False) -> None:
        """Answer with `upstream`; every token given out is made known to `redactor`.

        With `boxed` nothing listens here: who serves a box's own address passes its requests to
        `application`, and agents are told that address.
        """
        self._upstream = upstream
        self._relay = Relay(upstream)
        self._redactor = redactor
        self._guests: list[Guest] = []
        self._server = None if boxed else LoopbackServer(self._application(None))

    async def start(self) -> None:
        """Listen on a free port of the loopback address, unless agents are in boxes."""
        if self._server is not None:
            await self._server.start()

    async def close(self) -> None:
        """Cut every call, stop listening, and let go of the upstream."""
        for guest in list(self._guests):
            await self._show_out(guest)
        if self._server is not None:
            await self._server.close()
        await self._upstream.close()

    def admit(
        self,
        run_id: RunId,
        task_id: TaskId,
        caps: Caps,
        *,
        spent: Usage | None = None,
        tell: Tell = tell_nobody,
    ) -> GatewayAccess:
        """Give a run its own way to the model, until `dismiss`.

        `caps` are those of its task, of which `spent` is used before; `tell` hears what it uses.
        """
        token = Secret(secrets.token_urlsafe(TOKEN_BYTES))
        account = Account(caps, Usage() if spent is None else spent)
        self._redactor.add(token)
        self._guests.append(Guest(run_id, task_id, token, account, tell))
        return GatewayAccess(MODEL_URL if self._server is None else self._server.url, token)

    def cut(self, access: GatewayAccess) -> None:
        """End the run's calls and let it make no more; what it used is known until `dismiss`."""
        guest = self._find(access.token.reveal().encode())
        if guest is not None:
            guest.cut()

    async def dismiss(self, access: GatewayAccess) -> Stay:
        """Make the token worthless now, cut the run's calls, and say what it used in all.

        Once dismissed, a run is forgotten: doing it again gives zero.
        """
        guest = self._find(access.token.reveal().encode())
        if guest is None:
            return Stay()
        await self._show_out(guest)
        return Stay(guest.metered, guest.stopped_by)

    def metered(self, access: GatewayAccess) -> Metered:
        """Say what the run has used so far; zero for a run that is not admitted."""
        guest = self._find(access.token.reveal().encode())
        return Metered() if guest is None else guest.metered

    def usage(self, access: GatewayAccess) -> Usage:
        """Say how many turns, tokens and dollars the run has used so far."""
        return self.metered(access).usage

    def application(self, task_id: TaskId) -> ASGIApp:
        """Give the way in for one task's boxes: a token of any other task opens nothing there."""
        return self._application(task_id)

    def _application(self, task_id: TaskId | None) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            reply = Reply(send)
            guest = self._find(offered_token(Headers(scope=scope)), task_id)
            if guest is None or guest.is_cut:
                await reply.write(refusal(401, *NO_ACCESS, retry=False))
            elif guest.calls >= MOST_AT_ONCE or not guest.pace.allows():
                await reply.write(refusal(429, *TOO_FAST, retry=True))
            else:
                await self._attend(guest, scope, receive, reply)

        return serve

    async def _show_out(self, guest: Guest) -> None:
        self._guests.remove(guest)
        self._redactor.remove(guest.token)
        guest.cut()
        await guest.be_charged()

    def _find(self, token: bytes, task_id: TaskId | None = None) -> Guest | None:
        """Look at every guest, each in constant time: the answer's delay tells nothing."""
        found = None
        for guest in self._guests:
            is_it = secrets.compare_digest(guest.token.reveal().encode(), token)
            if is_it and task_id in {None, guest.task_id}:
                found = guest
        return found

    async def _attend(self, guest: Guest, scope: Scope, receive: Receive, reply: Reply) -> None:
        """Relay one call until it ends, the agent goes away, or the run is dismissed."""
        async with anyio.create_task_group() as group:
            guest.enter(group.cancel_scope)
            try:
                call = await read_call(scope, receive)
                if isinstance(call, Answer):
                    await reply.write(call)
                elif call is not None:
                    group.start_soon(_wait_for_goodbye, receive, group.cancel_scope)
                    await self._relay.attend(guest, call, reply)
            finally:
                guest.leave(group.cancel_scope)
                group.cancel_scope.cancel()
        await reply.break_off(*NO_ACCESS)


async def _wait_for_goodbye(receive: Receive, call: anyio.CancelScope) -> None:
    """End the call when the agent closes its connection: nobody reads the answer any more."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.cancel()
