"""The way out of every box: one listening socket each, with the box's own rules behind it."""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from codebot.domain.box import PROXY_PORT, Network, Outfit
from codebot.domain.egress import Access, AccessVerdict
from codebot.domain.ports import Doors
from codebot.domain.task import TaskId
from codebot.gateway.egress.box_http import BoxHttp
from codebot.gateway.egress.dial import HTTP, Dialler
from codebot.gateway.egress.doorman import Connections, Doorman, open_tls_door
from codebot.gateway.egress.policy import AllowList
from codebot.gateway.egress.tls_end import TlsEnd
from codebot.gateway.egress.tunnel import Tunnels
from codebot.gateway.egress.variables import box_variables
from codebot.gateway.registries.authority import Authority
from codebot.gateway.registries.catalog import origin_of
from codebot.gateway.registries.library import Library
from codebot.gateway.registries.reader import Reader
from codebot.gateway.registries.replies import plain
from codebot.gateway.server import LONGEST_IDLE

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 256
"""Of one box. uv keeps 50 to each host that it asks, an index and its files at least."""
OURSELVES = frozenset({"127.0.0.1", "localhost"})
_NAMED = re.compile(r"[a-z0-9._-]{1,253}(?::[0-9]{1,5})?")

Record = Callable[[TaskId, Access], None]


class BoxEgress:
    """Serves the boxes of all tasks (an `Egress`).

    `model` gives what answers for the model to the boxes of one task. `record` hears of every
    host that was reached or refused. `open_authority` gives whom boxes trust, when the first one
    is to begin, and `trusted` what they have for it in place of the system's files.
    """

    def __init__(
        self,
        *,
        model: Callable[[TaskId], ASGIApp],
        record: Record,
        allowed: AllowList,
        dialler: Dialler,
        library: Library,
        open_authority: Callable[[], Authority],
        trusted: Callable[[bytes], Mapping[str, bytes]],
        port: int = PROXY_PORT,
    ) -> None:
        self._model = model
        self._record = record
        self._allowed = allowed
        self._dialler = dialler
        self._library = library
        self._open_authority = open_authority
        self._trusted = trusted
        self._port = port
        self._trust: asyncio.Task[_Trust] | None = None

    async def outfit(self, network: Network) -> Outfit:
        """Give what a box needs so that its programs find proxy and registries, and trust them."""
        if network is Network.NONE:
            return Outfit()
        catalog, trust = await self._library.catalog(), await self._trust_of_boxes()
        env = box_variables(self._port, catalog)
        return Outfit(env, trust.files, tuple(sorted(set(catalog.hosts) - self._allowed.hosts)))

    async def serve(self, task_id: TaskId, network: Network, doors: Doors) -> "ServedBox":
        """Serve a box's own listening sockets, which this owns from now on."""
        record = partial(self._record, task_id)
        model = self._model(task_id) if network is Network.MODEL else None
        reader = Reader(self._library, record)
        config = _config(partial(self._answer, model, reader))
        state = ServerState()
        connections = Connections(MOST_CONNECTIONS)
        end = TlsEnd(
            await self._library.catalog(),
            (await self._trust_of_boxes()).authority,
            partial(BoxHttp, config, state),
            record,
        )
        tunnels = Tunnels(self._allowed, self._dialler, record, end)
        doors.proxy.setblocking(False)  # noqa: FBT003 - its only parameter
        server = await asyncio.get_running_loop().create_server(
            lambda: Doorman(connections, tunnels.serve, partial(BoxHttp, config, state)),
            sock=doors.proxy,
        )
        if doors.tls is not None:
            doors.tls.setblocking(False)  # noqa: FBT003 - its only parameter
            opened = open_tls_door(doors.tls, connections, end.serve_any)
            connections.keep(asyncio.ensure_future(opened))
        return ServedBox(server, connections, state)

    async def close(self) -> None:
        """Close what is kept open to the registries."""
        await self._library.close()

    async def _trust_of_boxes(self) -> "_Trust":
        """Give the authority and the files for it: made once, when the first box begins."""
        if self._trust is None or (self._trust.done() and self._trust.exception() is not None):
            self._trust = asyncio.ensure_future(asyncio.to_thread(self._make_trust))
        return await asyncio.shield(self._trust)

    def _make_trust(self) -> "_Trust":
        authority = self._open_authority()
        return _Trust(authority, self._trusted(authority.pem))

    async def _answer(
        self,
        model: ASGIApp | None,
        reader: Reader,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request of a box (an ASGI application), by the host that it names."""
        with suppress(asyncio.CancelledError):  # the box has ended, and nobody is left to be told
            await self._answer_now(model, reader, scope, receive, send)

    async def _answer_now(
        self, model: ASGIApp | None, reader: Reader, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = Request(scope, receive)
        authority = request.headers.get("host", "").lower()
        host, is_secure = authority.partition(":")[0], scope["scheme"] == "https"
        if not is_secure and host in OURSELVES and model is not None:
            await model(scope, receive, send)
            return
        origin = (
            origin_of(f"{scope['scheme']}://{authority}") if _NAMED.fullmatch(authority) else None
        )
        if origin is not None and origin in (await self._library.catalog()).places:
            await reader.read(origin, request, send)
        elif is_secure:
            await plain(421, "Inside of TLS for one host, another one is asked for.")(
                scope, receive, send
            )
        else:
            await _refused(request, host, reader.record)(scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Trust:
    """Whom boxes trust, and the files that say so."""

    authority: Authority
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class ServedBox:
    """The way out of one box, while the box runs."""

    server: asyncio.Server
    connections: Connections
    state: ServerState

    async def close(self) -> None:
        """Cut every connection and close the listening sockets."""
        self.server.close()
        await self.connections.close()
        for task in tuple(self.state.tasks):
            task.cancel()
        if self.state.tasks:
            await asyncio.wait(self.state.tasks)
        await asyncio.sleep(0)  # an aborted connection closes its socket in the loop's next round


def _refused(request: Request, host: str, record: Callable[[Access], None]) -> Response:
    if host in OURSELVES:
        return plain(403, "This box has no way to the model.")
    port = request.headers.get("host", "").partition(":")[2]
    reason = "only https passes, by CONNECT"
    record(
        Access(host or "?", int(port) if port.isdecimal() else HTTP, AccessVerdict.REFUSED, reason)
    )
    words = f"Codebot does not let this box reach {host or 'that'}: {reason}."
    return plain(403, words)


def _config(application: ASGIApp) -> Config:
    config = Config(
        application,
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        log_level=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=LONGEST_IDLE,
    )
    config.load()
    return config
